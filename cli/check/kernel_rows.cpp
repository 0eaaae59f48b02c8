#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "cli/check/row.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/controllers.h"
#include "core/runtime/device_filter.h"
#include "core/sys/bpf.h"
#include "core/sys/cgroup.h"
#include "core/sys/mount.h"
#include "core/sys/probe.h"
#include "net/link/firewall.h"
#include "net/link/link.h"

namespace wherry::cli::check {

namespace {

using engine::Config;
using runtime::Controller;

constexpr uint64_t kTimeNamespace = 0x80;  // CLONE_NEWTIME

Finding Kernel(const Row&, const Config&) {
  struct utsname name{};
  uname(&name);
  std::string found = Cat("Linux ", name.release, " ", name.machine);
  std::vector<std::string_view> parts = Split(name.release, '.');
  uint64_t major = ParseUint(parts[0]).value_or(0);
  uint64_t minor = parts.size() > 1 ? ParseUint(parts[1]).value_or(0) : 0;
  bool old = major < 5 || (major == 5 && minor < 10);
  return old ? Missing(found) : There(found);
}

Finding SystemCalls(const Row&, const Config&) {
  std::string missing = sys::MissingSystemCalls();
  return missing.empty() ? There("none is missing") : Missing(missing);
}

struct NamespaceRow {
  std::string_view name;
  uint64_t flag;
};
constexpr NamespaceRow kNamespaces[] = {
    {"mount", CLONE_NEWNS},  {"pid", CLONE_NEWPID},    {"network", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},    {"cgroup", CLONE_NEWCGROUP},
    {"user", CLONE_NEWUSER}, {"time", kTimeNamespace},
};

Result<> Nothing() {
  return {};
}

Result<> MakeNamespace(std::string_view name) {
  auto kind = std::ranges::find(kNamespaces, name, &NamespaceRow::name);
  return sys::TryInChild(kind->flag, Nothing);
}

Result<> OpenFileSystem(std::string_view type) {
  TRY(sys::FsContext::Open(std::string(type)));
  return {};
}

// Each that the row names.
Finding All(const Row& row, Result<> (*ask)(std::string_view name)) {
  std::string missing;
  for (std::string_view name : Split(row.argument, ' ')) {
    if (Result<> asked = ask(name); !asked)
      Append(missing, missing.empty() ? "" : "; ", name, ": ", asked.error().message());
  }
  return missing.empty() ? There(row.argument) : Missing(missing);
}

Finding Namespaces(const Row& row, const Config&) {
  return All(row, MakeNamespace);
}

Finding FileSystems(const Row& row, const Config&) {
  return All(row, OpenFileSystem);
}

Finding CgroupMount(const Row&, const Config&) {
  Result<sys::CgroupHost> host = sys::FindCgroupHost();
  if (!host)
    return Missing(host.error());
  bool hybrid = host->mode == sys::CgroupMode::kHybrid;
  return There(Cat(host->mount, hybrid ? ", beside controllers on cgroup v1" : ""));
}

constexpr std::string_view kMountFirst = "the remedy of the row cgroup v2";

Finding CgroupUse(const Row&, const Config&) {
  Result<sys::CgroupHost> host = sys::FindCgroupHost();
  if (!host)
    return Missing("there is no cgroup v2", kMountFirst);
  return From(sys::ProbeCgroup(host->mount), "made in, and killed with their cgroup");
}

// Where the kernel's command line is kept on this device, first found.
struct BootFile {
  const char* path;
  std::string_view where;  // in it
  std::string_view then;
};
constexpr BootFile kBootFiles[] = {
    {"/boot/firmware/cmdline.txt", "the one line of", ""},
    {"/boot/cmdline.txt", "the one line of", ""},
    {"/boot/armbianEnv.txt", "extraargs= in", ""},
    {"/boot/extlinux/extlinux.conf", "the APPEND line of", ""},
    {"/boot/uEnv.txt", "the arguments in", ""},
    {"/etc/default/grub", "GRUB_CMDLINE_LINUX in", ", run update-grub"},
};

std::string BootRemedy(std::string_view add, std::string_view remove = {}) {
  for (const BootFile& file : kBootFiles) {
    Result<std::string> text = ReadFile(file.path);
    if (!text)
      continue;
    bool has = !remove.empty() && text->find(remove) != std::string::npos;
    return Cat(has ? "remove " : "add ", has ? remove : add, has ? " from " : " to ", file.where,
               " ", file.path, file.then, " and restart");
  }
  return Cat("add ", add, " to the kernel command line in the boot loader's configuration",
             remove.empty() ? "" : " (or take away what switches it off: ", remove,
             remove.empty() ? "" : ")", " and restart");
}

Finding OneController(const Row& row, const Config&) {
  Result<sys::CgroupHost> host = sys::FindCgroupHost();
  if (!host)
    return Missing("there is no cgroup v2", kMountFirst);
  switch (runtime::AskController(*host, row.argument)) {
    case Controller::kOffered:
      return There("offered");
    case Controller::kOff:
      return Missing("switched off at boot", BootRemedy(Cat("cgroup_enable=", row.argument),
                                                        Cat("cgroup_disable=", row.argument)));
    case Controller::kOnV1:
      return Missing("bound to cgroup v1", BootRemedy("cgroup_no_v1=all"));
    case Controller::kAbsent:
      break;
  }
  return Missing("not in this kernel",
                 Cat("a kernel with ", runtime::ControllerOption(row.argument), "=y"));
}

Finding Pressure(const Row& row, const Config&) {
  if (ReadFile("/proc/pressure/memory"))
    return There("/proc/pressure");
  return Missing("not in this kernel, or switched off at boot",
                 Cat(row.remedy, "; where it has that, ", BootRemedy("psi=1")));
}

Result<> AllowAllCalls() {
  std::array allow = {sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return FailSys("prctl", "PR_SET_NO_NEW_PRIVS");
  int error = sys::SetSeccompFilter(allow, 0);
  if (error != 0)
    return std::unexpected(Error::Sys(error, "seccomp"));
  return {};
}

Finding Seccomp(const Row&, const Config&) {
  return From(sys::TryInChild(0, AllowAllCalls), "filters of system calls");
}

Finding DeviceFilter(const Row&, const Config&) {
  Result<std::vector<bpf_insn>> code = runtime::CompileDeviceRules({});
  if (!code)
    return Missing(code.error());
  Result<UniqueFd> program = sys::LoadDeviceProgram(*code);
  return program ? There("BPF programs of cgroups") : Missing(program.error());
}

Finding Idmap(const Row&, const Config& config) {
  std::string path = DataDirectory(config);
  Result<UniqueFd> dir = OpenDir(path);
  return dir ? From(sys::ProbeIdmap(dir->get()), Cat("on the file system of ", path))
             : Missing(dir.error());
}

Result<> MakeNetwork() {
  net::Links links = TRY(net::Links::Open());
  int bridge = TRY(links.AddBridge({.name = "check0", .mac = {}, .mtu = 0}));
  net::VethOptions veth;
  veth.name = "check1";
  veth.bridge = bridge;
  TRY(links.AddVeth(veth));
  return {};
}

Result<> MakeTunnel() {
  net::Tunnel tunnel;
  tunnel.vni = 1;
  tunnel.peers = {{0xc0000201}};  // 192.0.2.1, of documentation
  net::Links links = TRY(net::Links::Open());
  TRY(links.AddVxlan({.name = "check0", .tunnel = tunnel}));
  return {};
}

Finding Tunnel(const Row&, const Config&) {
  return From(sys::TryInChild(CLONE_NEWNET, MakeTunnel), "VXLAN devices");
}

Finding Bridge(const Row&, const Config&) {
  return From(sys::TryInChild(CLONE_NEWNET, MakeNetwork), "bridge and veth devices");
}

Result<> MakePacketFilter() {
  constexpr net::Ipv4 kContainer{0x0a000002};
  net::FirewallRules rules;
  rules.networks = {{.bridge = "check0", .subnet = net::Subnet::Around(kContainer, 24)}};
  rules.ports = {
      {.host_address = {}, .host_port = 80, .container = kContainer, .container_port = 80}};
  net::Firewall firewall = TRY(net::Firewall::Open("check"));
  return firewall.Apply(rules);
}

Finding PacketFilter(const Row&, const Config&) {
  return From(sys::TryInChild(CLONE_NEWNET, MakePacketFilter), "nf_tables with NAT");
}

Finding AppArmor(const Row&, const Config&) {
  Result<std::string> enabled = ReadFile("/sys/module/apparmor/parameters/enabled");
  if (!enabled)
    return Missing("not in this kernel");
  return enabled->starts_with('Y')
             ? There("enabled")
             : Missing("switched off at boot", BootRemedy("apparmor=1 security=apparmor"));
}

constexpr Need kNeeded = Need::kNeeded;
constexpr Need kWanted = Need::kWanted;

// clang-format off
constexpr Row kRows[] = {
    {"kernel", kNeeded, "what containers are made of is missing in many places",
     "Linux 5.10 or newer; 6.1 or newer is recommended", Kernel},
    {"system calls", kWanted, "slower ways are taken, and recursive read-only mounts are refused",
     "Linux 5.12 or newer, and no seccomp filter around wherry that does not know them", SystemCalls},
    {"namespaces", kNeeded, "containers are not separated from the system",
     "a kernel with CONFIG_NAMESPACES and CONFIG_{UTS,IPC,PID,NET}_NS, CONFIG_CGROUPS", Namespaces,
     "mount pid network ipc uts cgroup"},
    {"user namespaces", kWanted, "root of a container is root of the system to the kernel; --userns does not work",
     "a kernel with CONFIG_USER_NS=y, and user.max_user_namespaces above 0 (sysctl)", Namespaces, "user"},
    {"time namespaces", kWanted, "containers cannot have clocks of their own",
     "a kernel with CONFIG_TIME_NS=y, Linux 5.6 or newer", Namespaces, "time"},
    {"mapped mounts", kWanted, "volumes keep their owners' numbers in user namespaces",
     "Linux 5.12 or newer for ext4, 5.18 for f2fs and btrfs, and user namespaces", Idmap},
    {"basic file systems", kNeeded, "no container gets its /proc, /sys and /dev",
     "a kernel with CONFIG_{PROC_FS,SYSFS,TMPFS,UNIX98_PTYS,POSIX_MQUEUE}=y", FileSystems,
     "proc sysfs tmpfs devpts mqueue"},
    {"overlay", kNeeded, "images cannot be run",
     "a kernel with CONFIG_OVERLAY_FS, as a module (modprobe overlay) or built in", FileSystems, "overlay"},
    {"erofs", kWanted, "images are kept as directories, which take an inode for each file and layer",
     "a kernel with CONFIG_EROFS_FS, as a module (modprobe erofs) or built in", FileSystems, "erofs"},
    {"cgroup v2", kNeeded, "no container starts",
     "mount it (mount -t cgroup2 none /sys/fs/cgroup), or boot with systemd.unified_cgroup_hierarchy=1", CgroupMount},
    {"cgroup processes", kWanted, "starting and killing containers take longer",
     "Linux 5.14 or newer; with systemd, Delegate=yes in the service's unit", CgroupUse},
    {"memory controller", kWanted, "--memory is refused, and one container can take all memory", "", OneController, "memory"},
    {"cpu controller", kWanted, "--cpus and --cpu-shares are refused", "", OneController, "cpu"},
    {"pids controller", kWanted, "--pids-limit is refused, and one container can take all processes", "", OneController, "pids"},
    {"io controller", kWanted, "limits of disks are refused", "", OneController, "io"},
    {"cpuset controller", kWanted, "--cpuset-cpus is refused", "", OneController, "cpuset"},
    {"seccomp", kNeeded, "containers could make every system call", "a kernel with CONFIG_SECCOMP_FILTER=y", Seccomp},
    {"device filter", kNeeded, "containers could use every device", "a kernel with CONFIG_CGROUP_BPF=y and CONFIG_BPF_SYSCALL=y", DeviceFilter},
    {"bridge", kWanted, "--network other than none and host does not work",
     "a kernel with CONFIG_BRIDGE and CONFIG_VETH, as modules or built in", Bridge},
    {"tunnels", kWanted, "networks of driver overlay do not work",
     "a kernel with CONFIG_VXLAN, as a module (modprobe vxlan) or built in", Tunnel},
    {"packet filter", kWanted, "containers of networks reach nothing outside, and -p does not work",
     "a kernel with CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, CONFIG_NFT_{NAT,MASQ,REDIR,CT}", PacketFilter},
    {"pressure", kWanted, "it is not told when memory, processor or disk get short", "a kernel with CONFIG_PSI=y", Pressure},
    {"AppArmor", kWanted, "the system's AppArmor profiles confine nothing", "a kernel with CONFIG_SECURITY_APPARMOR=y", AppArmor},
};
// clang-format on

}  // namespace

std::span<const Row> KernelRows() {
  return kRows;
}

}  // namespace wherry::cli::check
