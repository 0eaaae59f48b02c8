#include "core/runtime/container.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/capabilities.h"
#include "core/sys/path.h"
#include "tests/unit/core/runtime/bundle.h"

namespace wherry::runtime {
namespace {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

AssertionResult Contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos)
    return AssertionSuccess();
  return AssertionFailure() << "\"" << text << "\" has no \"" << part << "\"";
}

AssertionResult Lacks(const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos)
    return AssertionSuccess();
  return AssertionFailure() << "\"" << text << "\" has \"" << part << "\"";
}

class Container : public ContainerTest {};

TEST_F(Container, RunsAndReportsTheExitCode) {
  Bundle bundle;
  Ran ran = bundle.Run({"true"});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_EQ(bundle.Shell("exit 7").exit_code, 7);
}

TEST_F(Container, PassesStandardStreams) {
  Bundle bundle;
  bundle.input = "hello";
  Ran ran = bundle.Shell("cat; echo problem >&2");
  EXPECT_EQ(ran.out, "hello");
  EXPECT_EQ(ran.err, "problem\n");
}

TEST_F(Container, ProgramIsPidOneAlone) {
  Bundle bundle;  // the list is made by the shell, without another process
  Ran ran = bundle.Shell("echo $$; echo /proc/[0-9]*; readlink /proc/1/exe");
  EXPECT_EQ(ran.out, "1\n/proc/1\n/bin/busybox\n");
}

TEST_F(Container, HasItsOwnNamespaces) {
  Bundle bundle;
  for (const char* name : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    std::array<char, 64> host{};
    ASSERT_GT(readlink(Cat("/proc/self/ns/", name).c_str(), host.data(), host.size() - 1), 0);
    Ran ran = bundle.Run({"readlink", Cat("/proc/self/ns/", name)});
    EXPECT_TRUE(Contains(ran.out, Cat(name, ":[")));
    EXPECT_NE(ran.out, Cat(host.data(), "\n"));
  }
}

TEST_F(Container, JoinsANamespaceByPath) {
  Bundle bundle;
  for (oci::Namespace& entry : bundle.spec.namespaces) {
    if (entry.type == oci::NamespaceType::kNetwork)
      entry.path = "/proc/self/ns/net";
    if (entry.type == oci::NamespaceType::kIpc)
      entry.path = "/proc/self/ns/uts";
  }
  Ran wrong = bundle.Run();
  EXPECT_TRUE(Contains(
      wrong.error, "join ipc namespace: /proc/self/ns/uts is not a namespace of the wanted type"));
  for (oci::Namespace& entry : bundle.spec.namespaces) {
    if (entry.type == oci::NamespaceType::kIpc)
      entry.path.clear();
  }
  std::array<char, 64> host{};
  ASSERT_GT(readlink("/proc/self/ns/net", host.data(), host.size() - 1), 0);
  bundle.spec.sysctl.clear();
  EXPECT_EQ(bundle.Run({"readlink", "/proc/self/ns/net"}).out, Cat(host.data(), "\n"));
}

TEST_F(Container, WithoutNetworkNamespaceSharesTheHosts) {
  Bundle bundle;
  std::erase_if(bundle.spec.namespaces,
                [](const oci::Namespace& n) { return n.type == oci::NamespaceType::kNetwork; });
  bundle.spec.sysctl.clear();
  std::array<char, 64> host{};
  ASSERT_GT(readlink("/proc/self/ns/net", host.data(), host.size() - 1), 0);
  Ran ran = bundle.Shell("readlink /proc/self/ns/net; ls /sys/class/net");
  EXPECT_TRUE(Contains(ran.out, host.data())) << ran.error;
  EXPECT_TRUE(Contains(ran.out, "lo"));
}

TEST_F(Container, LoopbackIsUp) {
  Bundle bundle;
  EXPECT_TRUE(Contains(bundle.Run({"ip", "addr"}).out, "inet 127.0.0.1/8"));
}

TEST_F(Container, SeesNothingOfTheHost) {
  Bundle bundle;
  // Without O_CLOEXEC on purpose: what a careless parent leaves open.
  int leaked = open("/", O_RDONLY | O_DIRECTORY);  // NOLINT(android-cloexec-open)
  Ran ran =
      bundle.Shell("ls /proc/self/fd; ls -l /proc/1/fd; cat /proc/self/mountinfo; cat /proc/keys");
  close(leaked);
  EXPECT_TRUE(ran.out.starts_with("0\n1\n2\n3\n")) << ran.out;  // 3 is ls reading the directory
  EXPECT_TRUE(Lacks(ran.out, " 4 ->"));
  EXPECT_TRUE(Lacks(ran.out, "/tmp /"));
  EXPECT_TRUE(Lacks(ran.out, "/home"));
}

TEST_F(Container, HasADockerLikeDev) {
  Bundle bundle;
  Ran ran = bundle.Shell(
      "stat -c '%n %F %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty;"
      "for l in fd stdin stdout stderr core ptmx; do readlink /dev/$l; done; echo x >/dev/null; "
      "head -c1 /dev/zero | wc -c;"
      "stat -c '%n %a' /dev/shm /dev/pts /dev; test -d /dev/mqueue && echo mqueue");
  EXPECT_EQ(
      ran.out,
      "/dev/null character special file 1:3 666\n/dev/zero character special file 1:5 666\n"
      "/dev/full character special file 1:7 666\n/dev/random character special file 1:8 666\n"
      "/dev/urandom character special file 1:9 666\n/dev/tty character special file 5:0 666\n"
      "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n/proc/kcore\npts/ptmx\n1\n"
      "/dev/shm 1777\n/dev/pts 755\n/dev 755\nmqueue\n")
      << ran.err;
}

TEST_F(Container, MakesSpecifiedDevices) {
  Bundle bundle;
  oci::Device device;
  device.path = "/dev/sub/mine";
  device.major = 1;
  device.minor = 7;
  device.file_mode = 0640;
  device.uid = 5;
  device.gid = 6;
  bundle.spec.devices = {device};
  Ran ran = bundle.Run({"stat", "-c", "%F %t:%T %a %u:%g", "/dev/sub/mine"});
  EXPECT_EQ(ran.out, "character special file 1:7 640 5:6\n") << ran.error;
}

TEST_F(Container, MasksAndProtectsPaths) {
  Bundle bundle;
  Ran ran = bundle.Shell(
      "cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l;"
      "echo 1 > /proc/sys/kernel/domainname; echo b > /proc/sysrq-trigger; touch /sys/x; echo end");
  EXPECT_TRUE(ran.out.starts_with("0\n0\n")) << ran.out;
  EXPECT_TRUE(Contains(ran.err, "/proc/sys/kernel/domainname: Read-only file system"));
  EXPECT_TRUE(Lacks(ran.err, "can't create /dev/null"));
}

TEST_F(Container, SetsHostnameUmaskAndEnvironment) {
  Bundle bundle;
  bundle.spec.domainname = "example.org";
  bundle.spec.process.env.push_back("GREETING=hi there");
  Ran ran =
      bundle.Shell("hostname; cat /proc/sys/kernel/domainname; umask; echo $GREETING; echo $HOME");
  EXPECT_EQ(ran.out, "box\nexample.org\n0022\nhi there\n/root\n");
  bundle.spec.process.user.umask = 027;
  bundle.spec.process.env.push_back("HOME=/elsewhere");
  EXPECT_EQ(bundle.Shell("umask; echo $HOME").out, "0027\n/elsewhere\n");
}

TEST_F(Container, WritesSysctlsOfItsNamespaces) {
  Bundle bundle;
  bundle.spec.sysctl["kernel.msgmax"] = "12345";
  Ran ran =
      bundle.Shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax");
  EXPECT_EQ(ran.out, "0\n12345\n") << ran.error;
}

TEST_F(Container, CreatesTheWorkingDirectory) {
  Bundle bundle;
  bundle.spec.process.cwd = "/srv/deep/er";
  bundle.spec.process.user.uid = 1000;
  Ran ran = bundle.Shell("pwd; stat -c '%u %a' .");
  EXPECT_EQ(ran.out, "/srv/deep/er\n0 755\n") << ran.error;
  bundle.spec.process.cwd = "/etc/passwd";
  ran = bundle.Run({"true"});
  EXPECT_FALSE(ran.started);
  EXPECT_TRUE(Contains(ran.error, "/etc/passwd")) << ran.error;
}

TEST_F(Container, ResolvesUsersInsideTheImage) {
  Bundle bundle;
  bundle.spec.process.user.username = "alice";
  EXPECT_EQ(bundle.Shell("id -u; id -g; id -G; echo $HOME").out,
            "1000\n1000\n1000 50\n/home/alice\n");
  bundle.spec.process.user.username = "alice:staff";
  EXPECT_EQ(bundle.Shell("id -u; id -g; id -G").out, "1000\n50\n50\n");
  bundle.spec.process.user.username = "1234:staff";
  bundle.spec.process.user.additional_gids = {7};
  EXPECT_EQ(bundle.Shell("id -u; id -g; id -G; echo $HOME").out, "1234\n50\n50 7\n/\n");
  bundle.spec.process.user.username = "mallory";
  Ran ran = bundle.Shell("id");
  EXPECT_EQ(ran.exit_code, 125);
  EXPECT_TRUE(Contains(ran.error, "mallory"));
}

TEST_F(Container, ANumericUserNeedsNoEntry) {
  Bundle bundle;
  bundle.Remove("/etc/passwd");
  bundle.spec.process.user.uid = 4000;
  bundle.spec.process.user.gid = 4001;
  bundle.spec.process.user.additional_gids = {4001, 9};
  EXPECT_EQ(bundle.Shell("id -u; id -g; id -G; echo $HOME").out, "4000\n4001\n4001 9\n/\n");
}

TEST_F(Container, GivesExactlyTheCapabilities) {
  Bundle bundle;
  const char* show = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status";
  EXPECT_TRUE(
      Contains(bundle.Shell(show).out,
               "CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
               "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n"));
  bundle.spec.process.user.uid = 1000;
  EXPECT_TRUE(
      Contains(bundle.Shell(show).out,
               "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
               "CapBnd:\t00000000a80425fb\n"));
  bundle.spec.process.no_new_privileges = true;
  bundle.spec.process.capabilities.reset();
  EXPECT_TRUE(Contains(
      bundle.Shell(show).out,
      "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"));
}

TEST_F(Container, GivesAmbientCapabilities) {
  Bundle bundle;
  std::vector<std::string> bind = {"CAP_NET_BIND_SERVICE"};
  bundle.spec.process.capabilities->inheritable = bind;
  bundle.spec.process.capabilities->ambient = bind;
  bundle.spec.process.user.uid = 1000;
  EXPECT_TRUE(
      Contains(bundle.Shell("grep Cap /proc/self/status").out, "CapEff:\t0000000000000400\n"));
}

TEST_F(Container, RefusesUnknownCapabilities) {
  Bundle bundle;
  bundle.spec.process.capabilities->bounding.push_back("CAP_FLY");
  EXPECT_TRUE(Contains(bundle.Run().error, "CAP_FLY"));
}

TEST_F(Container, SetsRlimits) {
  Bundle bundle;
  oci::Rlimit limit;
  limit.type = "RLIMIT_NOFILE";
  limit.resource = RLIMIT_NOFILE;
  limit.soft = 33;
  limit.hard = 44;
  bundle.spec.process.rlimits = {limit};
  EXPECT_EQ(bundle.Shell("ulimit -Sn; ulimit -Hn").out, "33\n44\n");
}

TEST_F(Container, SetsOomScore) {
  Bundle bundle;
  bundle.spec.process.oom_score_adj = 500;
  EXPECT_EQ(bundle.Shell("cat /proc/self/oom_score_adj").out, "500\n");
}

TEST_F(Container, SaysWhatItMayNotRaise) {
  Result<CapabilitySets> own = CurrentCapabilities();
  ASSERT_TRUE(own);
  if ((own->effective & CapabilityBit(24)) != 0)
    GTEST_SKIP() << "has CAP_SYS_RESOURCE";
  Bundle bundle;
  bundle.spec.process.oom_score_adj = -900;
  EXPECT_EQ(bundle.Run().error,
            "cannot lower oom_score_adj to -900: it needs CAP_SYS_RESOURCE, or a higher value");
  bundle.spec.process.oom_score_adj.reset();
  oci::Rlimit limit;
  limit.type = "RLIMIT_NOFILE";
  limit.resource = RLIMIT_NOFILE;
  limit.soft = limit.hard = 1 << 30;
  bundle.spec.process.rlimits = {limit};
  EXPECT_TRUE(Contains(bundle.Run().error, "cannot raise RLIMIT_NOFILE"));
}

TEST_F(Container, ReadOnlyRoot) {
  Bundle bundle;
  bundle.spec.root_readonly = true;
  bundle.spec.process.cwd = "/made/before";
  Ran ran = bundle.Shell("pwd; touch /x; touch /dev/shm/x && echo shm");
  EXPECT_EQ(ran.out, "/made/before\nshm\n");
  EXPECT_TRUE(Contains(ran.err, "Read-only file system"));
}

TEST_F(Container, BindMounts) {
  Bundle bundle;
  ASSERT_TRUE(ReplaceFile(bundle.outside() + "/file", "content\n", 0644, Durability::kVolatile)
                  .has_value());
  bundle.AddMount("/data/rw", "bind", bundle.outside(), {"rbind", "rprivate"});
  bundle.AddMount("/data/ro", "bind", bundle.outside(), {"rbind", "ro", "nosuid"});
  bundle.AddMount("/etc/one", "bind", bundle.outside() + "/file", {"bind"});
  Ran ran = bundle.Shell(
      "cat /data/ro/file /etc/one; echo new > /data/rw/new; touch /data/ro/x; grep /data/ro "
      "/proc/mounts");
  EXPECT_TRUE(ran.out.starts_with("content\ncontent\n")) << ran.error;
  EXPECT_TRUE(Contains(ran.out, "/data/ro")) << ran.out;
  EXPECT_TRUE(Contains(ran.out, " ro,nosuid"));
  EXPECT_TRUE(Contains(ran.err, "/data/ro/x: Read-only file system"));
  EXPECT_EQ(bundle.ReadHost(bundle.outside() + "/new"), "new\n");
}

TEST_F(Container, BindMountProblemsAreNamed) {
  Bundle bundle;
  bundle.AddMount("/x", "bind", "/nonexistent/here", {"bind"});
  EXPECT_EQ(bundle.Run().error,
            "mount /nonexistent/here on /x: open(/nonexistent/here): No such file or directory");
  bundle.spec.mounts.back().source = bundle.outside();
  bundle.spec.mounts.back().destination = "/etc/passwd";
  EXPECT_TRUE(Contains(bundle.Run().error,
                       "not a directory: a directory can only be mounted on a directory"));
  bundle.spec.mounts.back().options = {"bind", "remount"};
  EXPECT_TRUE(Contains(bundle.Run().error, "\"remount\" is not supported"));
  bundle.spec.mounts.back() = oci::Mount{"/x", "mqueue", "mqueue", {"tmpcopyup"}};
  EXPECT_TRUE(Contains(bundle.Run().error, "only a tmpfs or a bind mount can be filled"));
  bundle.spec.mounts.back() = oci::Mount{"/x", "nosuchfs", "", {}};
  EXPECT_TRUE(Contains(bundle.Run().error, "this kernel has no file system \"nosuchfs\""));
  bundle.spec.mounts.back() = oci::Mount{"/x", "tmpfs", "tmpfs", {"size=lots"}};
  EXPECT_TRUE(Contains(bundle.Run().error, "size=lots"));
}

TEST_F(Container, TmpfsTakesOptionsAndTheModeOfItsTarget) {
  Bundle bundle;
  bundle.MakeDir("/private");
  ASSERT_EQ(chmod((bundle.rootfs() + "/private").c_str(), 0710), 0);
  bundle.AddMount("/private", "tmpfs", "tmpfs", {"noexec", "size=1m"});
  bundle.AddMount("/made", "tmpfs", "tmpfs", {"mode=1777"});
  Ran ran = bundle.Shell("stat -c %a /private /made; grep -c 'size=1024k' /proc/mounts");
  EXPECT_EQ(ran.out, "710\n1777\n1\n") << ran.error;
}

// A bind mount with rslave sees what the host mounts later, one with rprivate does not.
TEST_F(Container, BindMountsPropagateAsAsked) {
  for (bool slave : {true, false}) {
    Bundle bundle;
    const std::string& dir = bundle.outside();
    ASSERT_EQ(mount("tmpfs", dir.c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_EQ(mount(nullptr, dir.c_str(), nullptr, MS_SHARED, nullptr), 0);
    ASSERT_EQ(mkdir((dir + "/sub").c_str(), 0755), 0);
    bundle.AddMount("/data", "bind", dir, {"rbind", slave ? "rslave" : "rprivate"});
    bundle.spec.process.args = {
        "sh", "-c", "while [ ! -e /data/go ]; do sleep 0.02; done; test -e /data/sub/seen"};
    auto prepared = bundle.Prepare(-1, -1, -1);
    ASSERT_TRUE(prepared) << prepared.error().error.message();
    ASSERT_TRUE(prepared->Start());
    EXPECT_EQ(mount("tmpfs", (dir + "/sub").c_str(), "tmpfs", 0, nullptr), 0);
    EXPECT_TRUE(ReplaceFile(dir + "/sub/seen", "", 0644, Durability::kVolatile));
    EXPECT_TRUE(ReplaceFile(dir + "/go", "", 0644, Durability::kVolatile));
    auto status = prepared->TakeProcess().Wait();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, slave ? 0 : 1);
    EXPECT_EQ(umount2((dir + "/sub").c_str(), MNT_DETACH), 0);
    EXPECT_EQ(umount2(dir.c_str(), MNT_DETACH), 0);
  }
}

TEST_F(Container, ADanglingLinkAsTargetIsMadeInside) {
  Bundle bundle;
  ASSERT_TRUE(ReplaceFile(bundle.outside() + "/resolv", "nameserver\n", 0644, Durability::kVolatile)
                  .has_value());
  bundle.Link("../run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf");
  bundle.AddMount("/etc/resolv.conf", "bind", bundle.outside() + "/resolv", {"bind"});
  EXPECT_EQ(bundle.Run({"cat", "/etc/resolv.conf"}).out, "nameserver\n");
}

TEST_F(Container, FindsProgramsAsRuncDoes) {
  Bundle bundle;
  bundle.WriteFile("/bin/plain", "text", 0644);
  bundle.WriteFile("/bin/garbage",
                   "\x7f"
                   "ELF nonsense",
                   0755);
  bundle.WriteFile("/bin/lost", "#!/no/such/shell\n", 0755);
  struct Row {
    const char* program;
    int exit_code;
    const char* error;
  };
  const Row rows[] = {
      {"foo", 127, "exec: \"foo\": executable file not found in $PATH"},
      {"/no/foo", 127, "exec: \"/no/foo\": stat /no/foo: no such file or directory"},
      {"/etc", 126, "exec: \"/etc\": is a directory"},
      {"/bin/plain", 126, "exec: \"/bin/plain\": permission denied"},
      {"plain", 126, "exec: \"plain\": permission denied"},
      {"/bin/garbage", 126, "exec /bin/garbage: exec format error"},
      {"/bin/lost", 127, "exec /bin/lost: no such file or directory"},
      {"", 127, "exec: \"\": executable file not found in $PATH"},
  };
  for (const Row& row : rows) {
    Ran ran = bundle.Run({row.program});
    EXPECT_EQ(ran.exit_code, row.exit_code) << row.program;
    EXPECT_EQ(ran.error, row.error);
    EXPECT_FALSE(ran.started);
  }
}

TEST_F(Container, GivesATerminal) {
  Bundle bundle;
  bundle.spec.process.terminal = true;
  bundle.spec.process.console_size = {30, 100};
  bundle.spec.process.args = {
      "sh", "-c",
      "tty; stty size; ls -l /dev/console; echo hi > /dev/console; ls -1 /proc/self/fd"};
  auto prepared = bundle.Prepare(-1, -1, -1);
  ASSERT_TRUE(prepared) << prepared.error().error.message();
  UniqueFd console = prepared->TakeConsole();
  ASSERT_TRUE(console);
  ASSERT_TRUE(prepared->Start());
  std::string text;
  std::array<char, 1024> buffer;
  while (true) {
    ssize_t n = read(console.get(), buffer.data(), buffer.size());
    if (n <= 0)
      break;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  EXPECT_TRUE(prepared->TakeProcess().Wait());
  EXPECT_TRUE(text.starts_with("/dev/pts/0\r\n30 100\r\n")) << text;
  EXPECT_TRUE(Contains(text, "136,   0"));
  EXPECT_TRUE(Contains(text, "hi\r\n"));
  EXPECT_TRUE(Contains(text, "0\r\n1\r\n2\r\n3\r\n"));
}

TEST_F(Container, RunsOnAnOverlayWithoutShowingHostPaths) {
  Bundle bundle;
  for (const char* name : {"upper", "work", "top", "top/etc"})
    ASSERT_EQ(mkdir(Cat(bundle.dir(), "/", name).c_str(), 0755), 0);
  ASSERT_TRUE(ReplaceFile(bundle.dir() + "/top/etc/passwd", "other\n", 0644, Durability::kVolatile)
                  .has_value());
  for (bool old : {false, true}) {
    // A volatile mount may only be followed by another.
    ASSERT_TRUE(RemoveTree(Cat(bundle.dir(), "/work", "/work")));
    for (bool is_volatile : {false, true, true}) {
      sys::PretendOldMountApi(old);
      bundle.overlay = sys::OverlayOptions{{bundle.dir() + "/top", bundle.rootfs()},
                                           {},
                                           bundle.dir() + "/upper",
                                           bundle.dir() + "/work",
                                           is_volatile};
      Ran ran = bundle.Shell("cat /etc/passwd; echo new > /written; cat /proc/self/mountinfo");
      sys::PretendOldMountApi(false);
      EXPECT_TRUE(ran.out.starts_with("other\n")) << old << ran.error << ran.err;
      EXPECT_TRUE(Lacks(ran.out, bundle.dir()));
      EXPECT_EQ(bundle.ReadHost(bundle.dir() + "/upper/written"), "new\n");
      EXPECT_EQ(bundle.ReadHost(bundle.rootfs() + "/written"), "");
    }
  }
}

TEST_F(Container, StacksManyLayers) {
  Bundle bundle;
  sys::OverlayOptions overlay;
  for (int i = 0; i < 130; ++i) {
    std::string layer = Cat(bundle.dir(), "/", std::string(100, 'l'), i);
    ASSERT_EQ(mkdir(layer.c_str(), 0755), 0);
    ASSERT_TRUE(ReplaceFile(layer + "/which", Cat(i), 0644, Durability::kVolatile).has_value());
    overlay.lower.push_back(layer);
  }
  overlay.lower.push_back(bundle.rootfs());
  overlay.upper = bundle.dir() + "/upper";
  overlay.work = bundle.dir() + "/work";
  ASSERT_EQ(mkdir(overlay.upper.c_str(), 0755) + mkdir(overlay.work.c_str(), 0755), 0);
  for (bool old : {false, true}) {
    sys::PretendOldMountApi(old);
    bundle.overlay = overlay;
    Ran ran = bundle.Run({"cat", "/which"});
    sys::PretendOldMountApi(false);
    EXPECT_EQ(ran.out, "0") << ran.error;
  }
}

TEST_F(Container, RunsWithoutOpenat2AndMountSetattr) {
  Bundle bundle;
  bundle.spec.root_readonly = true;
  bundle.AddMount("/data", "bind", bundle.outside(), {"bind", "ro"});
  sys::PretendOldMountApi(true);
  sys::PretendNoOpenat2(true);
  Ran ran = bundle.Shell(
      "touch /data/x /x /proc/sys/x; cat /proc/timer_list | wc -c; grep -c ' ro,' /proc/mounts");
  bundle.spec.mounts.back().options = {"bind", "rro"};
  Ran recursive = bundle.Shell("touch /data/x");
  sys::PretendOldMountApi(false);
  sys::PretendNoOpenat2(false);
  EXPECT_TRUE(Contains(ran.err, "/data/x: Read-only file system")) << ran.error;
  EXPECT_TRUE(Contains(ran.err, "/x: Read-only file system"));
  EXPECT_TRUE(ran.out.starts_with("0\n"));
  EXPECT_TRUE(Contains(recursive.err, "/data/x: Read-only file system")) << recursive.error;
}

TEST_F(Container, LivesInItsCgroup) {
  Result<sys::CgroupHost> host = sys::FindCgroupHost();
  if (!host)
    GTEST_SKIP() << host.error().message();
  Bundle bundle;
  bundle.cgroup = Cat("/wherry-test-", getpid(), "/c/one");
  Ran ran = bundle.Shell("grep ^0: /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs");
  EXPECT_EQ(ran.out, "0::/\n/sys/fs/cgroup/cgroup.procs\n") << ran.error;
  bundle.spec.process.args = {"nosuch"};
  EXPECT_EQ(bundle.Run().exit_code, 127);
  EXPECT_FALSE(PathExists(host->mount + bundle.cgroup));
  std::string top = Cat(host->mount, "/wherry-test-", getpid());
  EXPECT_TRUE(sys::RemoveCgroup(top, std::chrono::seconds(1)));
}

TEST_F(Container, LimitsNeedACgroup) {
  Bundle bundle;
  bundle.spec.resources.pids_limit = 5;
  EXPECT_EQ(bundle.Run().error, "limits need a cgroup of the container's own");
}

TEST_F(Container, DroppingAPreparedOneLeavesNothing) {
  Bundle bundle;
  pid_t pid = -1;
  {
    auto prepared = bundle.Prepare(-1, -1, -1);
    ASSERT_TRUE(prepared);
    pid = prepared->pid();
    EXPECT_EQ(kill(pid, 0), 0);
    EXPECT_EQ(*sys::ProcessStartTime(pid), prepared->start_time());
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(Container, IsNotTraceableBeforeItsProgramRuns) {
  Bundle bundle;
  auto prepared = bundle.Prepare(-1, -1, -1);
  ASSERT_TRUE(prepared);
  Result<std::string> status = ReadFile(Cat("/proc/", prepared->pid(), "/status"));
  struct stat file{};
  ASSERT_EQ(stat(Cat("/proc/", prepared->pid(), "/fd").c_str(), &file), 0);
  EXPECT_EQ(file.st_uid, 0U);
  EXPECT_TRUE(prepared->Start());
  EXPECT_TRUE(prepared->TakeProcess().Wait());
}

TEST_F(Container, IgnoredSignalsAreNotInherited) {
  Bundle bundle;
  auto old = signal(SIGPIPE, SIG_IGN);
  Ran ran = bundle.Run({"grep", "-E", "SigIgn|SigBlk", "/proc/self/status"});
  signal(SIGPIPE, old);
  EXPECT_EQ(ran.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(Container, RefusesUnusableRequests) {
  Bundle bundle;
  auto error = [&](const ContainerRequest& request) {
    auto prepared = Prepare(request);
    return prepared ? "" : prepared.error().error.message();
  };
  EXPECT_TRUE(Contains(error({"../x", bundle.spec, bundle.dir(), {}, {}, "", {}}), "container id"));
  EXPECT_TRUE(Contains(error({"x", bundle.spec, "relative", {}, {}, "", {}}), "absolute"));
  bundle.spec.root_path = "missing";
  EXPECT_TRUE(Contains(bundle.Run().error, "root file system: open("));
}

}  // namespace
}  // namespace wherry::runtime
