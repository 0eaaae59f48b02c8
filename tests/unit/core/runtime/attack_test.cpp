// Attacks by a hostile image or configuration, one test per row: each has to fail without touching
// the host.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "tests/unit/core/runtime/bundle.h"

namespace wherry::runtime {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Every row is tried with openat2 and with the walk that replaces it.
class Attack : public ContainerTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    ContainerTest::SetUp();
    sys::PretendNoOpenat2(GetParam());
  }
  void TearDown() override {
    sys::PretendNoOpenat2(false);
    ContainerTest::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(Resolution, Attack, testing::Bool(),
                         [](const auto& row) { return row.param ? "ByWalk" : "ByOpenat2"; });

void ExpectEmpty(const std::string& dir) {
  EXPECT_TRUE(ListDir(dir)->empty()) << "something reached " << dir;
}

TEST_P(Attack, DevIsALinkToAHostDirectory) {
  Bundle bundle;
  for (const std::string& target : {bundle.outside(), "../../../../../.." + bundle.outside()}) {
    bundle.Link(target, "/dev");
    Ran ran = bundle.Shell("stat -c %t:%T /dev/null");
    EXPECT_EQ(ran.out, "1:3\n") << ran.error;  // made inside, where the link leads there
    ExpectEmpty(bundle.outside());
  }
}

TEST_P(Attack, DevWithoutMountIsALink) {
  Bundle bundle;
  for (const char* path : {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})
    bundle.RemoveMount(path);
  bundle.Link(bundle.outside(), "/dev");
  (void)bundle.Run({"true"});
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, ProcIsALink) {
  Bundle bundle;
  bundle.MakeDir("/fake");
  bundle.Link("fake", "/proc");
  Ran ran = bundle.Run({"true"});
  EXPECT_FALSE(ran.started);
  EXPECT_TRUE(Has(ran.error, "mount proc on /proc")) << ran.error;
  bundle.Link(bundle.outside(), "/proc");
  EXPECT_FALSE(bundle.Run({"true"}).started);
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, SysIsALink) {
  Bundle bundle;
  bundle.Link("tmp", "/sys");
  EXPECT_FALSE(bundle.Run({"true"}).started);
}

TEST_P(Attack, ProcfsElsewhere) {
  Bundle bundle;
  bundle.AddMount("/tmp/p", "proc", "proc", {});
  EXPECT_TRUE(Has(bundle.Run().error, "procfs can only be mounted on /proc"));
}

TEST_P(Attack, MountsInsideProc) {
  Bundle bundle;
  bundle.Link("/proc/self", "/innocent");
  for (const char* path : {"/proc/self", "/proc/sys/kernel", "/proc/1", "/proc/../proc/self/attr",
                           "//proc//thread-self"}) {
    bundle.AddMount(path, "tmpfs", "tmpfs", {});
    EXPECT_TRUE(Has(bundle.Run().error, "inside /proc")) << path;
    bundle.spec.mounts.pop_back();
  }
  for (const char* path : {"/innocent", "/innocent/attr", "/tmp/../innocent/fd"}) {
    bundle.AddMount(path, "tmpfs", "tmpfs", {});
    EXPECT_TRUE(Has(bundle.Run().error, "leads into /proc")) << path;
    bundle.spec.mounts.pop_back();
  }
  bundle.WriteFile("/meminfo", "MemTotal: 1 kB\n");
  bundle.AddMount("/proc/meminfo", "bind", bundle.rootfs() + "/meminfo", {"bind"});
  EXPECT_EQ(bundle.Run({"cat", "/proc/meminfo"}).out, "MemTotal: 1 kB\n");
}

TEST_P(Attack, MountTargetLeadsToTheHost) {
  Bundle bundle;
  bundle.Link(bundle.outside(), "/data");
  bundle.Link("../../../../../../" + bundle.outside() + "/new", "/more");
  ASSERT_TRUE(MakeDirs(bundle.dir() + "/volume", 0755));
  ASSERT_TRUE(ReplaceFile(bundle.dir() + "/volume/v", "v", 0644, Durability::kVolatile));
  bundle.AddMount("/data/sub", "bind", bundle.dir() + "/volume", {"bind"});
  bundle.AddMount("/more", "tmpfs", "tmpfs", {});
  Ran ran = bundle.Run({"cat", "/data/sub/v"});
  EXPECT_EQ(ran.out, "v") << ran.error;
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, MountTargetLeadsToTheRoot) {
  Bundle bundle;
  bundle.Link("/", "/data");
  bundle.AddMount("/data", "tmpfs", "tmpfs", {});
  EXPECT_TRUE(Has(bundle.Run({"true"}).error, "cannot cover the root"));
  bundle.spec.mounts.back().destination = "/tmp/..";
  EXPECT_TRUE(Has(bundle.Run({"true"}).error, "cannot cover the root"));
}

// While the old root was still stacked over the new one, ".." in the new root led to the host in
// spite of RESOLVE_IN_ROOT.
TEST_P(Attack, DotDotAboveTheRoot) {
  Bundle bundle;
  ASSERT_TRUE(ReplaceFile(bundle.outside() + "/secret", "secret", 0644, Durability::kVolatile));
  bundle.Link("../../.." + bundle.outside(), "/up");
  bundle.spec.process.cwd = "/up/new";
  bundle.spec.masked_paths.push_back("/up/secret");
  bundle.spec.readonly_paths.push_back("/up");
  Ran ran = bundle.Shell("pwd; cat /up/secret");
  EXPECT_EQ(ran.out, bundle.outside() + "/new\n") << ran.error;
  EXPECT_FALSE(PathExists(bundle.outside() + "/new"));
}

TEST_P(Attack, WorkingDirectoryThroughADescriptor) {
  Bundle bundle;
  int leaked = open("/", O_RDONLY | O_DIRECTORY);  // NOLINT(android-cloexec-open)
  for (int fd = 0; fd < 24; ++fd) {
    bundle.spec.process.cwd = Cat("/proc/self/fd/", fd);
    EXPECT_FALSE(bundle.Run({"true"}).started) << fd;
    bundle.Link(Cat("/proc/self/fd/", fd), "/wd");
    bundle.spec.process.cwd = "/wd/../..";
    Ran ran = bundle.Shell("pwd; ls");
    EXPECT_FALSE(ran.started && Has(ran.out, "wherry-bundle")) << ran.out;
  }
  close(leaked);
}

TEST_P(Attack, WorkingDirectoryIsALinkToTheHost) {
  Bundle bundle;
  bundle.Link(bundle.outside(), "/wd");
  bundle.spec.process.cwd = "/wd/new";
  Ran ran = bundle.Run({"pwd"});
  EXPECT_EQ(ran.out, bundle.outside() + "/new\n") << ran.error;  // made inside
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, FakeNullDevice) {
  Bundle bundle;
  for (const char* path : {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})
    bundle.RemoveMount(path);
  bundle.Link("/proc/sys/kernel/core_pattern", "/dev/null");
  Ran ran = bundle.Run({"true"});
  EXPECT_FALSE(ran.started);
  EXPECT_TRUE(Has(ran.error, "/dev/null exists in the image as something else")) << ran.error;
  bundle.Remove("/dev/null");
  bundle.WriteFile("/dev/null", "x");
  EXPECT_FALSE(bundle.Run({"true"}).started);
}

TEST_P(Attack, MaskedPathStaysMasked) {
  Bundle bundle;
  // A null device that comes with the image, with another device behind the name.
  for (const char* path : {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})
    bundle.RemoveMount(path);
  bundle.Remove("/dev");
  bundle.MakeDir("/dev");
  ASSERT_EQ(mknod((bundle.rootfs() + "/dev/null").c_str(), S_IFCHR | 0666, 1 << 8 | 5), 0);
  EXPECT_FALSE(bundle.Run({"true"}).started);
}

TEST_P(Attack, HostNullDeviceIsOutOfReach) {
  struct stat before{};
  ASSERT_EQ(stat("/dev/null", &before), 0);
  Bundle bundle;
  Ran ran = bundle.Shell(
      "chmod 600 /proc/timer_list /proc/self/fd/0 /dev/stdin; echo x > /proc/keys; echo done");
  EXPECT_EQ(ran.out, "done\n");
  struct stat after{};
  ASSERT_EQ(stat("/dev/null", &after), 0);
  EXPECT_EQ(before.st_mode, after.st_mode);
  EXPECT_EQ(before.st_uid, after.st_uid);
}

TEST_P(Attack, MaskedPathThroughALink) {
  Bundle bundle;
  bundle.Link("loop2", "/loop1");
  bundle.Link("loop1", "/loop2");
  bundle.spec.masked_paths = {"/loop1"};
  EXPECT_FALSE(bundle.Run({"true"}).started);  // only what does not exist is passed over
}

TEST_P(Attack, HostilePasswd) {
  Bundle bundle;
  std::string passwd = bundle.rootfs() + "/etc/passwd";
  bundle.spec.process.user.username = "alice";

  bundle.Remove("/etc/passwd");
  ASSERT_EQ(mkfifo(passwd.c_str(), 0644), 0);
  EXPECT_TRUE(Has(bundle.Run().error, "not a regular file"));

  bundle.Remove("/etc/passwd");
  ASSERT_EQ(mknod(passwd.c_str(), S_IFCHR | 0666, 1 << 8 | 5), 0);  // zeros without end
  EXPECT_TRUE(Has(bundle.Run().error, "not a regular file"));

  bundle.WriteFile("/etc/passwd", "");
  ASSERT_EQ(truncate(passwd.c_str(), off_t{1} << 40), 0);
  EXPECT_FALSE(bundle.Run().started);

  ASSERT_TRUE(ReplaceFile(bundle.outside() + "/passwd", "alice:x:0:0::/:/bin/sh\n", 0644,
                          Durability::kVolatile));
  bundle.Link("../../../../.." + bundle.outside() + "/passwd", "/etc/passwd");
  EXPECT_TRUE(Has(bundle.Run().error, "alice"));

  bundle.WriteFile("/etc/passwd",
                   "alice:x:4294967296:0::/:/bin/sh\nalice:x:-1:0::/:\nalice:x:0x0:0::/:\n");
  EXPECT_TRUE(Has(bundle.Run().error, "alice"));
  for (const char* user : {"4294967296", "-1", "1000 ", "+5", "2147483648", "alice:", "1:2:3"}) {
    bundle.spec.process.user.username = user;
    EXPECT_FALSE(bundle.Run({"true"}).started) << user;
  }
  // A number that is also a name is the number (CVE-2016-3697).
  bundle.WriteFile("/etc/passwd", "1000:x:0:0::/:/bin/sh\n");
  bundle.spec.process.user.username = "1000";
  EXPECT_EQ(bundle.Run({"id", "-u"}).out, "1000\n");
  // An unreadable file is no obstacle to a number in the configuration.
  bundle.Remove("/etc/passwd");
  ASSERT_EQ(mkfifo(passwd.c_str(), 0644), 0);
  bundle.spec.process.user.username.clear();
  EXPECT_TRUE(bundle.Run({"true"}).started);
}

TEST_P(Attack, ConsoleLinks) {
  Bundle bundle;
  for (const char* path : {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})
    bundle.RemoveMount(path);
  bundle.MakeDir("/dev/pts");
  bundle.AddMount("/dev/pts", "devpts", "devpts", {"newinstance", "ptmxmode=0666"});
  bundle.Link(bundle.outside() + "/console", "/dev/console");
  bundle.spec.process.terminal = true;
  Ran ran = bundle.Run({"true"});
  EXPECT_FALSE(ran.started);
  EXPECT_TRUE(Has(ran.error, "/dev/console is a symbolic link")) << ran.error;
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, ConsoleWithoutItsOwnDevpts) {
  Bundle bundle;
  bundle.RemoveMount("/dev/pts");
  bundle.spec.process.terminal = true;
  EXPECT_TRUE(Has(bundle.Run({"true"}).error, "needs a devpts mount"));
}

TEST_P(Attack, SysctlsOfTheHost) {
  Bundle bundle;
  for (const char* name :
       {"kernel.core_pattern", "net/../kernel/core_pattern", "net.ipv4.../kernel",
        "kernel.hostname", "vm.drop_caches", "net//ipv4", "..", "", "kernel/sysrq"}) {
    bundle.spec.sysctl = {{name, "1"}};
    EXPECT_TRUE(Has(bundle.Run().error, "sysctl")) << name;
  }
  std::erase_if(bundle.spec.namespaces,
                [](const oci::Namespace& n) { return n.type == oci::NamespaceType::kNetwork; });
  bundle.spec.sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_TRUE(Has(bundle.Run().error, "is not in a separate kernel namespace"));
}

TEST_P(Attack, DevicePathsLeadOutside) {
  Bundle bundle;
  bundle.Link(bundle.outside(), "/link");
  oci::Device device;
  device.path = "/link/../../../../" + bundle.outside() + "/node";
  device.major = 1;
  device.minor = 3;
  bundle.spec.devices = {device};
  (void)bundle.Run({"true"});
  device.path = "/link/node";
  bundle.spec.devices = {device};
  (void)bundle.Run({"true"});
  ExpectEmpty(bundle.outside());
}

TEST_P(Attack, ProgramIsTheRuntimeItself) {
  Bundle bundle;
  bundle.WriteFile("/script", "#!/proc/self/exe\n", 0755);
  bundle.Link("/proc/self/exe", "/link");
  // What runs then is this very test program inside the container; it must at least not be writable
  // from there, which is what sys::ProtectedExecutable is for (sys/spawn_test). Here: no descriptor
  // of the host comes along.
  for (const char* program : {"/script", "/link", "/proc/self/exe"}) {
    Ran ran = bundle.Run({program, "--gtest_list_tests", "--gtest_filter=Nothing"});
    EXPECT_TRUE(ran.out.empty() || !Has(ran.out, "Attack.")) << ran.out;
  }
}

}  // namespace
}  // namespace wherry::runtime
