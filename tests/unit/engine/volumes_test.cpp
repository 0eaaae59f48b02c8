#include "engine/volumes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

class VolumesTest : public testing::Test {
 protected:
  Volumes Open() { return Volumes(directory_ / "volumes"); }
  std::string Path(std::string_view name) {
    return std::string(directory_ / "volumes/") + std::string(name);
  }
  // A container with the volume "data".
  ContainerConfig Config() {
    ContainerConfig config;
    MountRequest mount;
    mount.type = MountRequest::Type::kVolume;
    mount.volume = "data";
    mount.target = "/data";
    config.host.mounts.push_back(mount);
    LocateVolumes(directory_.path(), config);
    return config;
  }

  void Put(std::string_view name) {
    ASSERT_TRUE(ReplaceFile(Path(name), "x", 0600, Durability::kVolatile));
  }

  TempDir directory_;
  Volumes volumes_{directory_ / "volumes"};
};

TEST_F(VolumesTest, NamesAreChecked) {
  for (const char* name : {"ab", "a.b-c_1", "0a"})
    EXPECT_TRUE(CheckVolumeName(name)) << name;
  for (const char* name : {"", "a", ".a", "-a", "a/b", "..", "a b", "a\n"})
    EXPECT_FALSE(CheckVolumeName(name)) << name;
  EXPECT_FALSE(CheckVolumeName(std::string(256, 'a')));
}

TEST_F(VolumesTest, SurviveARestart) {
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  bool created = false;
  ASSERT_TRUE(volumes.Create({.name = "data", .labels = {{"a", "b"}}}, &created));
  EXPECT_TRUE(created);
  ASSERT_TRUE(volumes.Create({.name = "data", .labels = {{"other", ""}}}, &created));
  EXPECT_FALSE(created);
  Volumes again = Open();
  ASSERT_TRUE(again.Restore());
  auto found = again.Find("data");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->labels.at("a"), "b");
  EXPECT_FALSE(found->labels.contains("other"));
  ASSERT_TRUE(again.Remove("data"));
  EXPECT_FALSE(again.Find("data"));
  EXPECT_FALSE(PathExists(Path("data")));
}

TEST_F(VolumesTest, WhatWasCutShortIsRemoved) {
  ASSERT_TRUE(MakeDirs(Path("half/_data"), 0755));
  ASSERT_TRUE(MakeDirs(Path("damaged/_data"), 0755));
  ASSERT_TRUE(ReplaceFile(Path("damaged/volume.json"), "{", 0600, Durability::kVolatile));
  Volumes volumes = Open();
  ASSERT_TRUE(volumes.Restore());
  EXPECT_FALSE(PathExists(Path("half")));
  EXPECT_TRUE(volumes.Find("damaged")) << "the content must not be lost for a record";
  EXPECT_TRUE(PathExists(Path("damaged/_data")));
}

TEST_F(VolumesTest, OnlyAnEmptyOneIsFilled) {
  ASSERT_TRUE(volumes_.Restore());
  ContainerConfig config = Config();
  ASSERT_TRUE(volumes_.Ensure(config));
  auto fill = volumes_.PrepareFill(config);
  ASSERT_TRUE(fill) << fill.error().message();
  ASSERT_NE(*fill, nullptr);
  EXPECT_EQ((*fill)->markers, std::vector<std::string>{Path("data/filling")});
  EXPECT_TRUE(config.host.mounts[0].fill);
  // Cut short: what is there is not whole.
  Put("data/_data/part");
  fill->reset();
  fill = volumes_.PrepareFill(config);
  ASSERT_TRUE(fill && *fill);
  EXPECT_FALSE(PathExists(Path("data/_data/part")));
  EXPECT_TRUE(config.host.mounts[0].fill);
  // Done: the launcher removes the marker.
  ASSERT_TRUE(RemoveTree((*fill)->markers.front()));
  Put("data/_data/whole");
  fill->reset();
  fill = volumes_.PrepareFill(config);
  ASSERT_TRUE(fill);
  EXPECT_EQ(*fill, nullptr);
  EXPECT_FALSE(config.host.mounts[0].fill);
  EXPECT_TRUE(PathExists(Path("data/_data/whole")));
}

TEST_F(VolumesTest, NoCopyNeverFills) {
  ASSERT_TRUE(volumes_.Restore());
  ContainerConfig config = Config();
  config.host.mounts[0].copy = false;
  ASSERT_TRUE(volumes_.Ensure(config));
  auto fill = volumes_.PrepareFill(config);
  ASSERT_TRUE(fill);
  EXPECT_EQ(*fill, nullptr);
}

// The second must neither take the part the first has copied for the whole nor remove it.
TEST_F(VolumesTest, OneStartFillsAtATime) {
  ASSERT_TRUE(volumes_.Restore());
  ContainerConfig first = Config();
  ContainerConfig second = Config();
  ASSERT_TRUE(volumes_.Ensure(first));
  auto fill = volumes_.PrepareFill(first);
  ASSERT_TRUE(fill && *fill);
  std::atomic<bool> waited = false;
  std::thread other([&] {
    auto none = volumes_.PrepareFill(second);
    EXPECT_TRUE(none && *none == nullptr);
    EXPECT_TRUE(waited);
  });
  Put("data/_data/part");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(RemoveTree((*fill)->markers.front()));
  waited = true;
  fill->reset();
  other.join();
  EXPECT_FALSE(second.host.mounts[0].fill);
  EXPECT_TRUE(PathExists(Path("data/_data/part")));
}

}  // namespace
}  // namespace wherry::engine
