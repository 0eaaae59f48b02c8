// The launcher with the real runtime and the real shim: a container of busybox from specification
// to exit record.
#include "core/shim/launcher.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/shim/launch_spec.h"
#include "core/sys/cgroup.h"
#include "core/sys/process.h"
#include "tests/unit/core/shim/shim_harness.h"

namespace wherry::shim {
namespace {

constexpr const char* kBusybox = "/bin/busybox";

// {"ociVersion":...}: as the engine writes it, small. `args` is a JSON array.
std::string Config(std::string_view args, bool tty) {
  JsonWriter json;
  json.Object().Field("ociVersion", "1.2.0");
  json.Key("process").Object().Field("terminal", tty).Field("cwd", "/").Key("args").Raw(args);
  json.Key("env")
      .Array()
      .String("PATH=/bin")
      .End()
      .Key("user")
      .Object()
      .Field("uid", 0)
      .Field("gid", 0)
      .End();
  json.Key("capabilities").Object();
  for (const char* set : {"bounding", "effective", "permitted"}) {
    json.Key(set).Array().String("CAP_KILL").String("CAP_CHOWN").End();
  }
  json.End().End();
  json.Key("root").Object().Field("path", "rootfs").End();
  json.Key("mounts").Array();
  json.Object().Field("destination", "/proc").Field("type", "proc").Field("source", "proc").End();
  json.Object().Field("destination", "/dev").Field("type", "tmpfs").Field("source", "tmpfs").End();
  json.Object()
      .Field("destination", "/dev/pts")
      .Field("type", "devpts")
      .Field("source", "devpts")
      .End()
      .End();
  json.Key("linux").Object().Key("namespaces").Array();
  for (const char* type : {"mount", "pid", "network", "ipc", "uts", "cgroup"}) {
    json.Object().Field("type", type).End();
  }
  json.End().End().End();
  return json.Take();
}

struct Launched {
  LaunchResult result;
  pid_t pid = -1;  // of the launcher, then the shim
};

class LauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0)
      GTEST_SKIP() << "run as root";
    if (access(kBusybox, X_OK) != 0)
      GTEST_SKIP() << "no static /bin/busybox on this machine";
    auto host = sys::FindCgroupHost();
    if (!host)
      GTEST_SKIP() << host.error().message();
    host_ = *host;
    char base[] = "/tmp/wherry-launch-test-XXXXXX";
    ASSERT_NE(mkdtemp(base), nullptr);
    base_ = base;
    for (const char* dir : {"/bundle", "/bundle/rootfs/bin", "/bundle/rootfs/proc",
                            "/bundle/rootfs/dev", "/log", "/upper", "/work"}) {
      ASSERT_TRUE(MakeDirs(base_ + dir, 0755));
    }
    std::string busybox = base_ + "/bundle/rootfs/bin/busybox";
    auto content = ReadFile(kBusybox, 64 << 20);
    ASSERT_TRUE(content);
    ASSERT_TRUE(ReplaceFile(busybox, *content, 0755, Durability::kVolatile));
    for (const char* applet : {"sh", "echo", "cat", "sleep", "true", "ls", "touch"}) {
      ASSERT_EQ(symlink("busybox", Cat(base_, "/bundle/rootfs/bin/", applet).c_str()), 0);
    }
    parent_ = Cat("/wherry-launch-test-", getpid());
    spec_.id = "c0ffee";
    spec_.bundle = base_ + "/bundle";
    spec_.log_dir = base_ + "/log";
    spec_.cgroup = parent_ + "/c/c0ffee";
    spec_.shim = WHERRY_SHIM;
  }

  void TearDown() override {
    if (base_.empty())
      return;
    EXPECT_FALSE(PathExists(host_.mount + spec_.cgroup));
    EXPECT_TRUE(sys::RemoveCgroup(host_.mount + parent_, std::chrono::seconds(2)));
    EXPECT_TRUE(RemoveTree(base_));
  }

  void Configure(std::string_view args) {
    ASSERT_TRUE(ReplaceFile(spec_.bundle + "/config.json", Config(args, spec_.tty), 0600,
                            Durability::kVolatile));
  }

  Launched Launch() {
    UniqueFd spec(memfd_create("spec", MFD_CLOEXEC));
    EXPECT_TRUE(WriteAll(spec.get(), spec_.ToJson(), "spec"));
    lseek(spec.get(), 0, SEEK_SET);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    Launched launched;
    launched.pid = fork();
    if (launched.pid == 0) {
      int in = fcntl(spec.get(), F_DUPFD, 50);
      int out = fcntl(write_end.get(), F_DUPFD, 50);
      dup2(in, kLaunchSpecFd);
      dup2(out, kLaunchResultFd);
      (void)sys::CloexecFrom(5);
      close(in);
      close(out);
      _exit(LauncherMain());
    }
    write_end.Reset();
    auto line = ReadAll(read_end.get(), 10000, "answer");
    EXPECT_TRUE(line);
    auto result = LaunchResult::Parse(*line);
    EXPECT_TRUE(result) << result.error().message();
    if (result)
      launched.result = *std::move(result);
    return launched;
  }

  int Reap(const Launched& launched) {
    int status = 0;
    EXPECT_EQ(waitpid(launched.pid, &status, 0), launched.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TestClient Connect() { return TestClient(spec_.bundle + "/shim.sock"); }

  sys::CgroupHost host_;
  std::string base_;
  std::string parent_;
  LaunchSpec spec_;
};

TEST_F(LauncherTest, RunsAContainer) {
  Configure(R"(["sh","-c","echo to out; echo to err >&2; exit 5"])");
  auto launched = Launch();
  ASSERT_GT(launched.result.pid, 0) << launched.result.message;
  auto attached = Connect();
  attached.Send(kAttach, "\x06");
  auto watcher = Connect();
  watcher.Send(kHello);
  EXPECT_EQ(attached.Collect(kStdout), "to out\n");
  attached.Close();
  EXPECT_EQ(watcher.Next()->kind, kState);
  auto exit = watcher.Next();
  ASSERT_TRUE(exit);
  EXPECT_NE(exit->payload.find("\"code\":5"), std::string::npos);
  watcher.Close();
  EXPECT_EQ(Reap(launched), 0);
  auto log = ReadLog(base_ + "/log/log");
  EXPECT_EQ(JoinLog(log, "stdout"), "to out\n");
  EXPECT_EQ(JoinLog(log, "stderr"), "to err\n");
  auto state = JsonDocument::Parse(*ReadFile(spec_.bundle + "/state"), "state");
  EXPECT_EQ((*state)["pid"].integer(), launched.result.pid);
  EXPECT_GT((*state)["start_time"].integer(), 0);
  EXPECT_EQ((*state)["cgroup"].str(), spec_.cgroup);
}

TEST_F(LauncherTest, PlacesEveryoneInTheirCgroup) {
  Configure(R"(["sleep","100"])");
  auto launched = Launch();
  ASSERT_GT(launched.result.pid, 0) << launched.result.message;
  EXPECT_EQ(*sys::CgroupOf(launched.result.pid), spec_.cgroup);
  EXPECT_EQ(*ReadFile(Cat("/proc/", launched.pid, "/comm")), "wherry-shim\n");
  EXPECT_EQ(*ReadFile(Cat("/proc/", launched.pid, "/environ")), "");
  struct stat info{};
  ASSERT_EQ(stat((spec_.bundle + "/shim.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  // Nothing but what protocol.h says.
  auto fds = ListDir(Cat("/proc/", launched.pid, "/fd"));
  ASSERT_TRUE(fds);
  EXPECT_LE(fds->size(), 12u);
  auto watcher = Connect();
  watcher.Send(kHello);
  watcher.Next();
  watcher.Send(kKillAll);
  auto exit = watcher.Next();
  ASSERT_TRUE(exit);
  EXPECT_NE(exit->payload.find("\"code\":137"), std::string::npos);
  watcher.Close();
  EXPECT_EQ(Reap(launched), 0);
}

TEST_F(LauncherTest, TerminalWithInput) {
  spec_.tty = spec_.with_stdin = true;
  spec_.rows = 17;
  spec_.columns = 71;
  Configure(R"(["sh","-c","read line; busybox stty size; echo got $line"])");
  auto launched = Launch();
  ASSERT_GT(launched.result.pid, 0) << launched.result.message;
  auto attached = Connect();
  attached.Attach(kWantStdin | kWantStdout);
  attached.Send(kHello);
  attached.Send(kStdin, "words\n");
  std::string text = attached.Collect(kStdout);
  EXPECT_NE(text.find("17 71\r\ngot words\r\n"), std::string::npos) << text;
  attached.Close();
  EXPECT_EQ(Reap(launched), 0);
}

TEST_F(LauncherTest, OverlayRoot) {
  Configure(R"(["sh","-c","touch /made && ls /"])");
  spec_.overlay = LaunchSpec::Overlay{
      {spec_.bundle + "/rootfs"}, "", {}, false, base_ + "/upper", base_ + "/work", false};
  auto launched = Launch();
  ASSERT_GT(launched.result.pid, 0) << launched.result.message;
  auto watcher = Connect();
  watcher.Send(kHello);
  watcher.Collect(kStdout);
  watcher.Close();
  EXPECT_EQ(Reap(launched), 0);
  EXPECT_TRUE(PathExists(base_ + "/upper/made"));
  EXPECT_FALSE(PathExists(spec_.bundle + "/rootfs/made"));
}

struct Failure {
  const char* args;
  int exit_code;
  const char* says;
};

TEST_F(LauncherTest, FailuresLeaveNothing) {
  const Failure failures[] = {
      {R"(["no-such-command"])", 127, "no-such-command"},
      {R"(["/bin"])", 126, "/bin"},
      {R"(["/etc/passwd-that-is-not-here"])", 127, "no such file"},
  };
  for (const Failure& failure : failures) {
    Configure(failure.args);
    auto launched = Launch();
    EXPECT_EQ(launched.result.pid, 0);
    EXPECT_EQ(launched.result.exit_code, failure.exit_code) << launched.result.message;
    EXPECT_NE(launched.result.message.find(failure.says), std::string::npos)
        << launched.result.message;
    EXPECT_EQ(Reap(launched), failure.exit_code);
    EXPECT_FALSE(PathExists(spec_.bundle + "/shim.sock"));
    EXPECT_FALSE(PathExists(spec_.bundle + "/state"));
    EXPECT_FALSE(PathExists(host_.mount + spec_.cgroup));
  }
}

TEST_F(LauncherTest, SetupErrorsAre125) {
  Configure(R"(["true"])");
  LaunchSpec good = spec_;
  auto refused = [this](std::string_view says) {
    auto launched = Launch();
    EXPECT_EQ(launched.result.exit_code, 125);
    EXPECT_NE(launched.result.message.find(says), std::string::npos) << launched.result.message;
    EXPECT_EQ(Reap(launched), 125);
    EXPECT_FALSE(PathExists(spec_.bundle + "/shim.sock"));
  };
  spec_.shim = "/no/such/shim";
  refused("/no/such/shim");
  spec_.shim = "/etc/passwd";
  refused("not an executable");
  spec_ = good;
  spec_.log_dir = "/no/such/dir";
  refused("/no/such/dir");
  spec_ = good;
  spec_.bundle = "/no/such/bundle";
  refused("/no/such/bundle");
  spec_ = good;
  ASSERT_TRUE(ReplaceFile(spec_.bundle + "/config.json", "{", 0600, Durability::kVolatile));
  refused("config.json");
}

// A run directory whose socket path would be longer than an address holds.
TEST_F(LauncherTest, LongPathsAreFine) {
  std::string deep = base_;
  for (int i = 0; i < 4; ++i)
    deep += "/" + std::string(50, 'd');
  ASSERT_TRUE(MakeDirs(deep, 0755));
  ASSERT_EQ(rename(spec_.bundle.c_str(), (deep + "/bundle").c_str()), 0);
  spec_.bundle = deep + "/bundle";
  Configure(R"(["true"])");
  auto launched = Launch();
  ASSERT_GT(launched.result.pid, 0) << launched.result.message;
  UniqueFd dir = *OpenDir(spec_.bundle);
  TestClient watcher(Cat("/proc/self/fd/", dir.get(), "/shim.sock"));
  ASSERT_TRUE(watcher.connected());
  watcher.Send(kHello);
  watcher.Collect(kStdout);
  watcher.Close();
  EXPECT_EQ(Reap(launched), 0);
}

}  // namespace
}  // namespace wherry::shim
