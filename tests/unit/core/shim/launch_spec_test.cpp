#include "core/shim/launch_spec.h"

#include <gtest/gtest.h>

namespace wherry::shim {
namespace {

LaunchSpec Full() {
  LaunchSpec spec;
  spec.id = "0123";
  spec.bundle = "/run/wherry/c/0123";
  spec.log_dir = "/var/lib/wherry/containers/0123";
  spec.log = {LogDriver::kJsonFile, 10485760, 3};
  spec.tty = spec.with_stdin = spec.stdin_once = true;
  spec.rows = 24;
  spec.columns = 80;
  spec.overlay =
      LaunchSpec::Overlay{{"/store/a \"quoted\"", "/store/b"}, "", {}, false, "/up", "/work", true};
  spec.cgroup = "/wherry/c/0123";
  spec.shim = "/usr/bin/wherry-shim";
  spec.seccomp = SeccompMode::kSpec;
  spec.remove_when_ready = {"/var/lib/wherry/volumes/data/filling"};
  spec.join = LaunchSpec::Join{1234, 5678};
  return spec;
}

TEST(LaunchSpec, SurvivesTheTrip) {
  LaunchSpec spec = Full();
  auto read = LaunchSpec::Parse(spec.ToJson());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->ToJson(), spec.ToJson());
  EXPECT_EQ(read->overlay->lower, spec.overlay->lower);
  EXPECT_TRUE(read->overlay->is_volatile);
  EXPECT_EQ(read->log.max_files, 3u);
  EXPECT_EQ(read->columns, 80);
  EXPECT_EQ(read->seccomp, SeccompMode::kSpec);
  EXPECT_EQ(read->remove_when_ready, spec.remove_when_ready);
  EXPECT_EQ(read->join->pid, 1234);
  EXPECT_EQ(read->join->start_time, 5678u);
}

TEST(LaunchSpec, SmallestOne) {
  auto read = LaunchSpec::Parse(
      R"({"id":"a","bundle":"/b","log":{"driver":"none"},"shim":"/s","future":{"x":[1]}})");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_FALSE(read->overlay);
  EXPECT_FALSE(read->join);
  EXPECT_FALSE(read->tty);
  EXPECT_EQ(read->seccomp, SeccompMode::kDefault);
}

TEST(LaunchSpec, ErrorsNameTheMember) {
  struct Row {
    const char* json;
    const char* says;
  };
  const Row rows[] = {
      {"", "launch specification"},
      {"[]", "id"},
      {R"({"id":"a"})", "bundle"},
      {R"({"id":"a","bundle":"b"})", "bundle"},
      {R"({"id":"a","bundle":"/b","shim":"/s"})", "log_dir"},
      {R"({"id":"a","bundle":"/b","log":{"driver":"syslog"},"shim":"/s"})", "log.driver"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l"})", "shim"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l","shim":"/s","join":{"pid":1}})", "join"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l","shim":"/s","seccomp":"x"})", "seccomp"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l","shim":"/s","overlay":{"lower":[]}})",
       "overlay.lower"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l","shim":"/s","overlay":{"lower":["x"]}})",
       "overlay.lower"},
      {R"({"id":"a","bundle":"/b","log_dir":"/l","shim":"/s","cgroup":"x"})", "cgroup"},
  };
  for (const Row& row : rows) {
    auto read = LaunchSpec::Parse(row.json);
    ASSERT_FALSE(read) << row.json;
    EXPECT_NE(read.error().message().find(row.says), std::string::npos) << read.error().message();
  }
}

TEST(LaunchResult, Lines) {
  EXPECT_EQ((LaunchResult{42, 0, ""}).ToLine(), "ok 42\n");
  EXPECT_EQ((LaunchResult{0, 127, "exec: \"x\":\nnot found"}).ToLine(),
            "error 127 exec: \"x\": not found\n");
  EXPECT_EQ(LaunchResult::Parse("ok 42\n")->pid, 42);
  auto error = LaunchResult::Parse("error 126 no way\n");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->exit_code, 126);
  EXPECT_EQ(error->message, "no way");
  EXPECT_EQ(LaunchResult::Parse("").error().code(), Errc::kUnavailable);
  for (const char* line :
       {"ok\n", "ok 0\n", "ok x\n", "ok 4", "error\n", "error 5 x\n", "error 126\n", "fine\n"}) {
    EXPECT_FALSE(LaunchResult::Parse(line)) << line;
  }
}

}  // namespace
}  // namespace wherry::shim
