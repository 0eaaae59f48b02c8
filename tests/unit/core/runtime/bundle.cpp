#include "tests/unit/core/runtime/bundle.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/identity.h"
#include "core/runtime/seccomp.h"

namespace wherry::runtime {

namespace {

constexpr const char* kBusybox = "/bin/busybox";
constexpr const char* kApplets[] = {"sh",    "ls",    "cat",      "true", "id",       "env",
                                    "head",  "sleep", "hostname", "pwd",  "readlink", "stat",
                                    "mkdir", "touch", "chmod",    "grep", "wc",       "tty",
                                    "stty",  "mount", "ip"};

oci::Mount MakeMount(const char* destination, const char* type, const char* source,
                     std::vector<std::string> options) {
  oci::Mount mount;
  mount.destination = destination;
  mount.type = type;
  mount.source = source;
  mount.options = std::move(options);
  return mount;
}

oci::RuntimeSpec DockerLikeSpec() {
  oci::RuntimeSpec spec;
  spec.oci_version = "1.0.2";
  spec.root_path = "rootfs";
  spec.hostname = "box";
  spec.process.args = {"true"};
  spec.process.cwd = "/";
  spec.process.env = {"PATH=/usr/bin:/bin"};
  std::vector<std::string> names = CapabilityNames(kDockerCapabilities);
  oci::Capabilities capabilities;
  capabilities.bounding = capabilities.effective = capabilities.permitted = names;
  spec.process.capabilities = capabilities;
  for (auto type :
       {oci::NamespaceType::kMount, oci::NamespaceType::kPid, oci::NamespaceType::kNetwork,
        oci::NamespaceType::kIpc, oci::NamespaceType::kUts, oci::NamespaceType::kCgroup}) {
    oci::Namespace entry;
    entry.type = type;
    spec.namespaces.push_back(entry);
  }
  spec.mounts = {
      MakeMount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      MakeMount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      MakeMount("/dev/pts", "devpts", "devpts",
                {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      MakeMount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      MakeMount("/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}),
      MakeMount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      MakeMount("/dev/shm", "tmpfs", "shm",
                {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
  };
  spec.masked_paths = {"/proc/acpi", "/proc/interrupts", "/proc/kcore",
                       "/proc/keys", "/proc/timer_list", "/sys/firmware"};
  spec.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  spec.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"}};
  return spec;
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe MakePipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void Drain(Pipe& out, Pipe& err, Ran& ran) {
  std::array<pollfd, 2> fds = {{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
  std::array<std::string*, 2> texts = {&ran.out, &ran.err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds.data(), fds.size(), 20000) <= 0)
      break;
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0)
        continue;
      std::array<char, 4096> buffer;
      ssize_t n = read(fds[i].fd, buffer.data(), buffer.size());
      if (n <= 0)
        fds[i].fd = -1;
      else
        texts[i]->append(buffer.data(), static_cast<size_t>(n));
    }
  }
}

}  // namespace

Bundle::Bundle() : spec(DockerLikeSpec()) {
  char name[] = "/tmp/wherry-bundle-XXXXXX";
  dir_ = mkdtemp(name);
  char other[] = "/tmp/wherry-outside-XXXXXX";
  outside_ = mkdtemp(other);
  chmod(dir_.c_str(), 0755);
  for (const char* path : {"/bin", "/etc", "/proc", "/sys", "/dev", "/tmp", "/root"})
    MakeDir(path);
  std::string busybox = rootfs() + "/bin/busybox";
  if (link(kBusybox, busybox.c_str()) < 0) {
    Result<std::string> content = ReadFile(kBusybox, 64 << 20);
    if (content)
      WriteFile("/bin/busybox", *content, 0755);
  }
  for (const char* applet : kApplets)
    Link("busybox", Cat("/bin/", applet));
  WriteFile("/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n");
  WriteFile("/etc/group", "root:x:0:\nstaff:x:50:alice\nalice:x:1000:\n");
}

Bundle::~Bundle() {
  (void)RemoveTree(dir_);
  (void)RemoveTree(outside_);
}

std::string Bundle::Unable() {
  if (geteuid() != 0)
    return "containers need root";
  if (access(kBusybox, X_OK) != 0)
    return "no static /bin/busybox on this machine";
  return "";
}

void Bundle::WriteFile(const std::string& path, const std::string& content, mode_t mode) {
  std::string full = rootfs() + path;
  EXPECT_TRUE(MakeDirs(full.substr(0, full.rfind('/')), 0755).has_value());
  unlink(full.c_str());
  EXPECT_TRUE(ReplaceFile(full, content, mode, Durability::kVolatile).has_value());
  EXPECT_EQ(chmod(full.c_str(), mode), 0);
}

void Bundle::Link(const std::string& target, const std::string& path) {
  Remove(path);
  EXPECT_EQ(symlink(target.c_str(), (rootfs() + path).c_str()), 0);
}

void Bundle::MakeDir(const std::string& path) {
  EXPECT_TRUE(MakeDirs(rootfs() + path, 0755).has_value());
}

void Bundle::Remove(const std::string& path) {
  EXPECT_TRUE(RemoveTree(rootfs() + path).has_value());
}

std::string Bundle::ReadHost(const std::string& path) {
  Result<std::string> content = ReadFile(path);
  return content ? *content : "";
}

oci::Mount& Bundle::AddMount(const std::string& destination, const std::string& type,
                             const std::string& source, std::vector<std::string> options) {
  spec.mounts.push_back(
      MakeMount(destination.c_str(), type.c_str(), source.c_str(), std::move(options)));
  return spec.mounts.back();
}

void Bundle::RemoveMount(const std::string& destination) {
  std::erase_if(spec.mounts,
                [&](const oci::Mount& mount) { return mount.destination == destination; });
}

StartResult<Prepared> Bundle::Prepare(int stdin_fd, int stdout_fd, int stderr_fd) {
  ContainerRequest request{"test", spec, dir_, overlay, {stdin_fd, stdout_fd, stderr_fd},
                           cgroup, {}};
  SeccompFilter filter;
  if (seccomp) {
    Result<CapabilitySets> sets = ParseCapabilitySets(spec.process);
    if (sets)
      filter = DefaultSeccomp(sets->bounding);
    request.seccomp = {filter.code(), filter.flags()};
  }
  return runtime::Prepare(request);
}

Ran Bundle::Run(std::vector<std::string> args) {
  spec.process.args = std::move(args);
  return Run();
}

Ran Bundle::Shell(const std::string& script) {
  return Run({"sh", "-c", script});
}

Ran Bundle::Run() {
  Ran ran;
  Pipe out = MakePipe();
  Pipe err = MakePipe();
  Pipe in = MakePipe();
  auto prepared = Prepare(input.empty() ? -1 : in.read.get(), out.write.get(), err.write.get());
  in.read.Reset();
  out.write.Reset();
  err.write.Reset();
  StartResult<> started;
  if (prepared)
    started = prepared->Start();
  else
    started = std::unexpected(std::move(prepared.error()));
  if (!started) {
    ran.exit_code = started.error().exit_code;
    ran.error = started.error().error.message();
    return ran;
  }
  ran.started = true;
  if (!input.empty())
    (void)WriteAll(in.write.get(), input, "input");
  in.write.Reset();
  Drain(out, err, ran);
  sys::PidFd process = prepared->TakeProcess();
  Result<sys::ExitStatus> status = process.Wait();
  if (status)
    ran.exit_code = status->signal != 0 ? 128 + status->signal : status->code;
  if (prepared->cgroup() != nullptr) {
    Result<sys::CgroupHost> host = sys::FindCgroupHost();
    EXPECT_TRUE(host && sys::RemoveCgroup(host->mount + prepared->cgroup()->path(),
                                          std::chrono::seconds(2)));
  }
  return ran;
}

// Without what other tests have mounted in their directories before this one got a namespace of its
// own: such mounts go when their directory does.
static std::string Mounts() {
  std::string mounts = *ReadFile("/proc/self/mountinfo");
  std::string own;
  for (std::string_view line : Split(mounts, '\n')) {
    if (line.find(" /tmp/") == line.npos || line.find("wherry-bundle-") != line.npos)
      Append(own, line, "\n");
  }
  return own;
}

void ContainerTest::SetUp() {
  std::string why = Bundle::Unable();
  if (!why.empty())
    GTEST_SKIP() << why;
  // What others mount meanwhile is not ours.
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  open_files_ = ListDir("/proc/self/fd")->size();
  mounts_ = Mounts();
}

void ContainerTest::TearDown() {
  if (IsSkipped())
    return;
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  EXPECT_EQ(ListDir("/proc/self/fd")->size(), open_files_) << "a descriptor is left";
  EXPECT_EQ(Mounts(), mounts_) << "a mount is left";
}

}  // namespace wherry::runtime
