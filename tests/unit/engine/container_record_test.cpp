#include "engine/container_record.h"

#include <gtest/gtest.h>

#include "engine/container_status.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

ContainerRecord Example() {
  ContainerRecord record;
  record.id = std::string(64, 'a');
  record.name = "web";
  record.created_nanos = 1'700'000'000'000'000'123;
  record.image_id = Digest::Of("config");
  record.manifest = Digest::Of("manifest");
  record.request = {R"({"Image":"x","Cmd":["sh"]})", R"({"Memory":67108864})", "{}"};
  return record;
}

TEST(ContainerRecord, RoundTrips) {
  TempDir directory;
  ContainerRecord record = Example();
  ASSERT_TRUE(SaveRecord(directory.path(), record));
  auto loaded = LoadRecord(directory.path(), record.id);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->name, "web");
  EXPECT_EQ(loaded->created_nanos, record.created_nanos);
  EXPECT_EQ(loaded->image_id, record.image_id);
  EXPECT_EQ(loaded->manifest, record.manifest);
  EXPECT_EQ(loaded->request.config_json, record.request.config_json);
  EXPECT_EQ(loaded->request.host_config_json, record.request.host_config_json);
}

TEST(ContainerRecord, AnyDamageIsFound) {
  TempDir directory;
  ContainerRecord record = Example();
  ASSERT_TRUE(SaveRecord(directory.path(), record));
  std::string good = *ReadFile(directory / "config.json");
  for (size_t position = 0; position < good.size(); ++position) {
    std::string bad = good;
    bad[position] = static_cast<char>(bad[position] ^ 1);
    ASSERT_TRUE(ReplaceFile(directory / "config.json", bad, 0600, Durability::kVolatile));
    auto loaded = LoadRecord(directory.path(), record.id);
    ASSERT_FALSE(loaded) << position;
    EXPECT_EQ(loaded.error().code(), Errc::kCorrupt) << position;
  }
  ASSERT_TRUE(ReplaceFile(directory / "config.json", good.substr(0, good.size() / 2), 0600,
                          Durability::kVolatile));
  EXPECT_FALSE(LoadRecord(directory.path(), record.id));
}

TEST(ContainerRecord, OfAnotherContainerIsRefused) {
  TempDir directory;
  ASSERT_TRUE(SaveRecord(directory.path(), Example()));
  auto loaded = LoadRecord(directory.path(), std::string(64, 'b'));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Errc::kCorrupt);
  auto absent = LoadRecord(directory / "nothing", std::string(64, 'b'));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Errc::kNotFound);
}

TEST(ContainerRecord, RemovalTakesEverything) {
  TempDir directory;
  ASSERT_TRUE(SaveRecord(directory / "c", Example()));
  ASSERT_TRUE(MakeDirs(directory / "c/upper/etc", 0755));
  ASSERT_TRUE(WriteRunStatus(directory / "run", {}));
  ASSERT_TRUE(RemoveContainerFiles(directory / "c", directory / "run"));
  EXPECT_FALSE(PathExists(directory / "c"));
  EXPECT_FALSE(PathExists(directory / "run"));
  EXPECT_TRUE(RemoveContainerFiles(directory / "c", directory / "run"));
}

TEST(RunStatus, RoundTrips) {
  TempDir directory;
  RunStatus status;
  status.exit_code = 127;
  status.error = "no \"such\" file";
  status.started_nanos = 1'700'000'000'000'000'123;
  status.oom_killed = true;
  status.paused = true;
  ASSERT_TRUE(WriteRunStatus(directory / "a/b", status));
  auto read = ReadRunStatus(directory / "a/b");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->exit_code, 127);
  EXPECT_EQ(read->error, status.error);
  EXPECT_EQ(read->started_nanos, status.started_nanos);
  EXPECT_EQ(read->finished_nanos, 0);
  EXPECT_TRUE(read->oom_killed && read->paused);
}

TEST(ExitRecord, ReadsTheShimsWords) {
  auto record =
      ExitRecord::Parse(R"({"code":137,"signal":9,"oom":true,"time_ns":1760000000000000000})");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, 137);
  EXPECT_TRUE(record->oom);
  EXPECT_FALSE(ExitRecord::Parse("{}"));
  EXPECT_FALSE(ExitRecord::Parse(""));
}

}  // namespace
}  // namespace wherry::engine
