#include "engine/container_fields.h"

#include "core/base/text.h"

namespace wherry::engine {

namespace {

using enum FieldType;
using enum FieldUse;

// runtime.md 3; the per-processor thermal_throttle files are added when a container starts.
constexpr std::string_view kMaskedPaths =
    R"(["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats",)"
    R"("/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats",)"
    R"("/sys/devices/virtual/powercap","/sys/firmware"])";
constexpr std::string_view kReadonlyPaths =
    R"(["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"])";

// In the order in which Docker prints them.
// clang-format off
constexpr Field kHostFields[] = {
    {"Binds",                kStrings,   kUsed,    "[]",                  "--volume"},
    {"ContainerIDFile",      kString,    kUsed,    R"("")",               "--cidfile"},
    {"LogConfig",            kObject,    kUsed,    R"({"Type":"json-file","Config":{}})", "--log-driver"},
    {"NetworkMode",          kString,    kUsed,    R"("default")",        "--network"},
    {"PortBindings",         kObject,    kUsed,    "{}",                  "--publish"},
    {"RestartPolicy",        kObject,    kUsed,    R"({"Name":"no","MaximumRetryCount":0})", "--restart"},
    {"AutoRemove",           kBool,      kUsed,    "false",               "--rm"},
    {"VolumeDriver",         kString,    kRefused, R"("")",               "--volume-driver"},
    {"VolumesFrom",          kStrings,   kRefused, "[]",                  "--volumes-from"},
    {"ConsoleSize",          kArray,     kUsed,    "[0,0]",               ""},
    {"Annotations",          kStringMap, kUsed,    "",                    "--annotation"},
    {"CapAdd",               kStrings,   kUsed,    "[]",                  "--cap-add"},
    {"CapDrop",              kStrings,   kUsed,    "[]",                  "--cap-drop"},
    {"CgroupnsMode",         kString,    kUsed,    R"("private")",        "--cgroupns"},
    {"Dns",                  kStrings,   kUsed,    "[]",                  "--dns"},
    {"DnsOptions",           kStrings,   kUsed,    "[]",                  "--dns-option"},
    {"DnsSearch",            kStrings,   kUsed,    "[]",                  "--dns-search"},
    {"ExtraHosts",           kStrings,   kUsed,    "[]",                  "--add-host"},
    {"GroupAdd",             kStrings,   kUsed,    "[]",                  "--group-add"},
    {"IpcMode",              kString,    kUsed,    R"("private")",        "--ipc"},
    {"Cgroup",               kString,    kRefused, R"("")",               ""},
    {"Links",                kStrings,   kRefused, "[]",                  "--link"},
    {"OomScoreAdj",          kInt,       kUsed,    "0",                   "--oom-score-adj"},
    {"PidMode",              kString,    kUsed,    R"("")",               "--pid"},
    {"Privileged",           kBool,      kUsed,    "false",               "--privileged"},
    {"PublishAllPorts",      kBool,      kUsed,    "false",               "--publish-all"},
    {"ReadonlyRootfs",       kBool,      kUsed,    "false",               "--read-only"},
    {"SecurityOpt",          kStrings,   kUsed,    "[]",                  "--security-opt"},
    {"StorageOpt",           kStringMap, kUsed,    "",                    "--storage-opt"},
    {"Tmpfs",                kStringMap, kUsed,    "",                    "--tmpfs"},
    {"UTSMode",              kString,    kUsed,    R"("")",               "--uts"},
    {"UsernsMode",           kString,    kUsed,    R"("")",               "--userns"},
    {"ShmSize",              kInt,       kUsed,    "67108864",            "--shm-size"},
    {"Sysctls",              kStringMap, kUsed,    "",                    "--sysctl"},
    {"Runtime",              kString,    kUsed,    R"("wherry")",         "--runtime"},
    {"Isolation",            kString,    kUsed,    R"("")",               "--isolation"},
    {"CpuShares",            kInt,       kUsed,    "0",                   "--cpu-shares"},
    {"Memory",               kInt,       kUsed,    "0",                   "--memory"},
    {"NanoCpus",             kInt,       kUsed,    "0",                   "--cpus"},
    {"CgroupParent",         kString,    kRefused, R"("")",               "--cgroup-parent"},
    {"BlkioWeight",          kInt,       kUsed,    "0",                   "--blkio-weight"},
    {"BlkioWeightDevice",    kArray,     kUsed,    "[]",                  "--blkio-weight-device"},
    {"BlkioDeviceReadBps",   kArray,     kUsed,    "[]",                  "--device-read-bps"},
    {"BlkioDeviceWriteBps",  kArray,     kUsed,    "[]",                  "--device-write-bps"},
    {"BlkioDeviceReadIOps",  kArray,     kUsed,    "[]",                  "--device-read-iops"},
    {"BlkioDeviceWriteIOps", kArray,     kUsed,    "[]",                  "--device-write-iops"},
    {"CpuPeriod",            kInt,       kUsed,    "0",                   "--cpu-period"},
    {"CpuQuota",             kInt,       kUsed,    "0",                   "--cpu-quota"},
    {"CpuRealtimePeriod",    kInt,       kRefused, "0",                   "--cpu-rt-period"},
    {"CpuRealtimeRuntime",   kInt,       kRefused, "0",                   "--cpu-rt-runtime"},
    {"CpusetCpus",           kString,    kUsed,    R"("")",               "--cpuset-cpus"},
    {"CpusetMems",           kString,    kUsed,    R"("")",               "--cpuset-mems"},
    {"Devices",              kArray,     kUsed,    "[]",                  "--device"},
    {"DeviceCgroupRules",    kStrings,   kUsed,    "[]",                  "--device-cgroup-rule"},
    {"DeviceRequests",       kArray,     kRefused, "[]",                  "--gpus"},
    {"MemoryReservation",    kInt,       kUsed,    "0",                   "--memory-reservation"},
    {"MemorySwap",           kInt,       kUsed,    "0",                   "--memory-swap"},
    {"MemorySwappiness",     kInt,       kUsed,    "",                    "--memory-swappiness"},
    {"OomKillDisable",       kBool,      kUsed,    "false",               "--oom-kill-disable"},
    {"Init",                 kBool,      kUsed,    "",                    "--init"},
    {"PidsLimit",            kInt,       kUsed,    "null",                "--pids-limit"},
    {"Ulimits",              kArray,     kUsed,    "[]",                  "--ulimit"},
    {"CpuCount",             kInt,       kUsed,    "0",                   "--cpu-count"},
    {"CpuPercent",           kInt,       kUsed,    "0",                   "--cpu-percent"},
    {"IOMaximumIOps",        kInt,       kUsed,    "0",                   ""},
    {"IOMaximumBandwidth",   kInt,       kUsed,    "0",                   ""},
    {"Mounts",               kArray,     kUsed,    "",                    "--mount"},
    {"MaskedPaths",          kStrings,   kUsed,    kMaskedPaths,          ""},
    {"ReadonlyPaths",        kStrings,   kUsed,    kReadonlyPaths,        ""},
};
// clang-format on

constexpr std::string_view kTypeWords[] = {
    "a boolean", "an integer",           "a string", "an array of strings", "an array",
    "an object", "an object of strings",
};

bool AllStrings(JsonValue container) {
  for (JsonValue element : container) {
    if (!element.IsString())
      return false;
  }
  return true;
}

bool HasType(JsonValue value, FieldType type) {
  switch (type) {
    case kBool:
      return value.IsBool();
    case kInt:
      return value.IsNumber();
    case kString:
      return value.IsString();
    case kStrings:
      return value.IsArray() && AllStrings(value);
    case kArray:
      return value.IsArray();
    case kObject:
      return value.IsObject();
    case kStringMap:
      return value.IsObject() && AllStrings(value);
  }
  return false;
}

}  // namespace

std::span<const Field> HostFields() {
  return kHostFields;
}

bool IsEmptyValue(JsonValue value) {
  if (!value || value.IsNull())
    return true;
  if (value.IsBool())
    return !value.boolean();
  if (value.IsNumber())
    return value.integer() == 0;
  if (value.IsString())
    return value.str().empty();
  return value.size() == 0;
}

Result<> CheckType(JsonValue value, FieldType type, std::string_view object,
                   std::string_view name) {
  if (!value || value.IsNull() || HasType(value, type))
    return {};
  return Fail(Errc::kInvalid, Cat("invalid JSON: ", object, ".", name, " must be ",
                                  kTypeWords[static_cast<size_t>(type)]));
}

}  // namespace wherry::engine
