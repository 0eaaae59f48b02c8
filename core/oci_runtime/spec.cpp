// spec: a config.json to begin with, a shell in a root file system beside it.
#include <fcntl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci_runtime/command.h"

namespace wherry::oci_runtime {

namespace {

constexpr std::string_view kProcess =
    R"("process":{"terminal":true,"user":{"uid":0,"gid":0},"args":["sh"],)"
    R"("env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","TERM=xterm"],)"
    R"("cwd":"/","capabilities":{"bounding":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"],)"
    R"("effective":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"],)"
    R"("permitted":["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]},)"
    R"("rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],"noNewPrivileges":true},)"
    R"("root":{"path":"rootfs","readonly":true},"hostname":"wherry",)";

constexpr std::string_view kMounts =
    R"({"destination":"/proc","type":"proc","source":"proc"},)"
    R"({"destination":"/dev","type":"tmpfs","source":"tmpfs",)"
    R"("options":["nosuid","strictatime","mode=755","size=65536k"]},)"
    R"({"destination":"/dev/shm","type":"tmpfs","source":"shm",)"
    R"("options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},)"
    R"({"destination":"/dev/mqueue","type":"mqueue","source":"mqueue",)"
    R"("options":["nosuid","noexec","nodev"]},)"
    R"({"destination":"/dev/pts","type":"devpts","source":"devpts",)"
    R"("options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620")";

constexpr std::string_view kNamespaces =
    R"("namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"cgroup"},)";

constexpr std::string_view kPaths =
    R"("maskedPaths":["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys",)"
    R"("/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug",)"
    R"("/sys/firmware","/proc/scsi"],)"
    R"("readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"])";

// Where a container of root and one of somebody else differ.
struct Flavour {
  std::string_view more_pts;  // options of /dev/pts
  std::string_view sys;       // mounts
  std::string_view space;     // the last namespace
};
constexpr Flavour kRoot = {
    R"(,"gid=5")",
    R"({"destination":"/sys","type":"sysfs","source":"sysfs",)"
    R"("options":["nosuid","noexec","nodev","ro"]},)"
    R"({"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup",)"
    R"("options":["nosuid","noexec","nodev","relatime","ro"]})",
    R"("network")",
};
// Group 5 is not mapped, nobody would connect a new network, and the sysfs of the host's cannot be
// mounted anew.
constexpr Flavour kRootless = {
    "",
    R"({"destination":"/sys","type":"none","source":"/sys",)"
    R"("options":["rbind","nosuid","noexec","nodev","ro"]})",
    R"("user")",
};

std::string IdMaps() {
  auto map = [](uint32_t id) {
    return Cat(R"([{"containerID":0,"hostID":)", id, R"(,"size":1}])");
  };
  return Cat(R"("uidMappings":)", map(geteuid()), R"(,"gidMappings":)", map(getegid()), ",");
}

std::string Spec(bool rootless) {
  const Flavour& flavour = rootless ? kRootless : kRoot;
  std::string ids =
      rootless ? IdMaps() : R"("resources":{"devices":[{"allow":false,"access":"rwm"}]},)";
  return Cat(R"({"ociVersion":")", kSpecVersion, "\",", kProcess, R"("mounts":[)", kMounts,
             flavour.more_pts, "]},", flavour.sys, R"(],"linux":{)", ids, kNamespaces,
             R"({"type":)", flavour.space, "}],", kPaths, "}}\n");
}

}  // namespace

Result<int> WriteSpec(const Call& call) {
  std::string dir = call.options.Has("bundle") ? call.options.Value("bundle") : ".";
  UniqueFd file =
      TRY(Open(Cat(dir, "/config.json"), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666));
  TRY(WriteAll(file.get(), Spec(call.options.Has("rootless")), "config.json"));
  return 0;
}

}  // namespace wherry::oci_runtime
