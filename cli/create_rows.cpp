#include "cli/create_rows.h"

#include <array>

#include "core/base/text.h"

namespace wherry::cli {

Result<> WriteNameValues(JsonWriter& json, const std::vector<std::string>& words) {
  json.Object();
  for (const std::string& word : words) {
    auto split = SplitFirst(word, '=');
    json.Field(split ? split->head : std::string_view(word),
               split ? split->tail : std::string_view());
  }
  json.End();
  return {};
}

namespace {

// Writes the value of one option below its key; `words` are the values given, never empty.
using Writer = Result<> (*)(JsonWriter& json, const std::vector<std::string>& words);

Result<> WriteString(JsonWriter& json, const std::vector<std::string>& words) {
  json.String(words.back());
  return {};
}

Result<> WriteFirst(JsonWriter& json, const std::vector<std::string>& words) {
  json.String(words.front());
  return {};
}

Result<> WriteStrings(JsonWriter& json, const std::vector<std::string>& words) {
  json.Strings(words);
  return {};
}

Result<> WriteBool(JsonWriter& json, const std::vector<std::string>& words) {
  json.Bool(words.back() == "true");
  return {};
}

Result<> WriteInt(JsonWriter& json, const std::vector<std::string>& words) {
  json.Int(TRY(ParseInt(words.back())));
  return {};
}

// Bytes with a unit; -1 means without limit.
Result<> WriteBytes(JsonWriter& json, const std::vector<std::string>& words) {
  if (words.back() == "-1") {
    json.Int(-1);
    return {};
  }
  json.Uint(TRY(ParseSize(words.back())));
  return {};
}

// "1.5" -> 1500000000. Decimal, at most nine digits after the point.
Result<> WriteNanoCpus(JsonWriter& json, const std::vector<std::string>& words) {
  std::string_view text = words.back();
  auto split = SplitFirst(text, '.');
  uint64_t whole = TRY(ParseUint(split ? split->head : text));
  std::string fraction(split ? split->tail : "0");
  if (fraction.size() > 9 || whole > 100'000) {
    return Fail(Errc::kInvalid, Cat(text, " is not a number of processors such as 1.5"));
  }
  fraction.resize(9, '0');
  json.Uint(whole * 1'000'000'000 + TRY(ParseUint(fraction)));
  return {};
}

// PATH[:OPTIONS]
Result<> WriteTmpfs(JsonWriter& json, const std::vector<std::string>& words) {
  json.Object();
  for (const std::string& word : words) {
    auto split = SplitFirst(word, ':');
    json.Field(split ? split->head : std::string_view(word),
               split ? split->tail : std::string_view());
  }
  json.End();
  return {};
}

// NAME=SOFT[:HARD]
Result<> WriteUlimits(JsonWriter& json, const std::vector<std::string>& words) {
  json.Array();
  for (const std::string& word : words) {
    auto name = SplitFirst(word, '=');
    if (!name)
      return Fail(Errc::kInvalid, Cat(word, " is not NAME=SOFT[:HARD]"));
    auto limits = SplitFirst(name->tail, ':');
    int64_t soft = TRY(ParseInt(limits ? limits->head : name->tail));
    int64_t hard = limits ? TRY(ParseInt(limits->tail)) : soft;
    json.Object().Field("Name", name->head).Field("Soft", soft).Field("Hard", hard).End();
  }
  json.End();
  return {};
}

// HOST[:CONTAINER[:PERMISSIONS]]
Result<> WriteDevices(JsonWriter& json, const std::vector<std::string>& words) {
  json.Array();
  for (const std::string& word : words) {
    auto parts = Split(word, ':');
    if (parts.size() > 3 || parts[0].empty()) {
      return Fail(Errc::kInvalid, Cat(word, " is not HOST[:CONTAINER[:PERMISSIONS]]"));
    }
    bool permissions_second = parts.size() == 2 && parts[1].find('/') == std::string_view::npos;
    std::string_view inside = parts.size() >= 2 && !permissions_second ? parts[1] : parts[0];
    std::string_view permissions =
        parts.size() == 3 ? parts[2] : (permissions_second ? parts[1] : "rwm");
    json.Object().Field("PathOnHost", parts[0]).Field("PathInContainer", inside);
    json.Field("CgroupPermissions", permissions).End();
  }
  json.End();
  return {};
}

// PATH:NUMBER for each device; the number is bytes, with a unit, or a count.
Result<> WriteDeviceNumbers(JsonWriter& json, const std::vector<std::string>& words,
                            std::string_view key) {
  json.Array();
  for (const std::string& word : words) {
    auto split = SplitFirst(word, ':');
    if (!split)
      return Fail(Errc::kInvalid, Cat(word, " is not DEVICE:NUMBER"));
    json.Object().Field("Path", split->head).Field(key, TRY(ParseSize(split->tail))).End();
  }
  json.End();
  return {};
}

Result<> WriteRates(JsonWriter& json, const std::vector<std::string>& words) {
  return WriteDeviceNumbers(json, words, "Rate");
}

Result<> WriteWeights(JsonWriter& json, const std::vector<std::string>& words) {
  return WriteDeviceNumbers(json, words, "Weight");
}

// type=bind,source=/a,target=/b,readonly
Result<> WriteMounts(JsonWriter& json, const std::vector<std::string>& words) {
  json.Array();
  for (const std::string& word : words) {
    std::string_view type = "volume", source, target;
    bool read_only = false, no_copy = false;
    for (std::string_view part : Split(word, ',')) {
      auto split = SplitFirst(part, '=');
      std::string_view key = split ? split->head : part;
      std::string_view value = split ? split->tail : std::string_view("true");
      if (key == "type") {
        type = value;
      } else if (key == "source" || key == "src") {
        source = value;
      } else if (key == "target" || key == "dst" || key == "destination") {
        target = value;
      } else if (key == "readonly" || key == "ro") {
        read_only = value != "false" && value != "0";
      } else if (key == "volume-nocopy") {
        no_copy = value != "false" && value != "0";
      } else {
        return Fail(Errc::kUnsupported, Cat("mount option ", key, " is not supported"));
      }
    }
    if (target.empty())
      return Fail(Errc::kInvalid, Cat("mount ", word, " has no target"));
    json.Object().Field("Type", type).Field("Source", source).Field("Target", target);
    json.Field("ReadOnly", read_only);
    if (no_copy)
      json.Key("VolumeOptions").Object().Field("NoCopy", true).End();
    json.End();
  }
  json.End();
  return {};
}

// NAME[:COUNT]
Result<> WriteRestart(JsonWriter& json, const std::vector<std::string>& words) {
  auto split = SplitFirst(words.back(), ':');
  json.Object().Field("Name", split ? split->head : std::string_view(words.back()));
  json.Field("MaximumRetryCount", split ? TRY(ParseInt(split->tail)) : 0).End();
  return {};
}

struct Row {
  Option option;
  Part part;
  std::string_view key;
  Writer write;
};

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

// Sorted by name. Rows without a writer are handled in create_request.cpp.
// clang-format off
constexpr Row kRows[] = {
    {{"add-host", 0, kList, "HOST:IP", "Add a line to /etc/hosts"}, Part::kHost, "ExtraHosts", WriteStrings},
    {{"annotation", 0, kList, "NAME=VALUE", "Annotation of the OCI configuration"}, Part::kHost, "Annotations", WriteNameValues},
    {{"blkio-weight", 0, kValue, "WEIGHT", "Relative weight on block devices, 10 to 1000"}, Part::kHost, "BlkioWeight", WriteInt},
    {{"blkio-weight-device", 0, kList, "DEVICE:WEIGHT", "The same on one device"}, Part::kHost, "BlkioWeightDevice", WriteWeights},
    {{"cap-add", 0, kList, "CAPABILITY", "Add a capability, or ALL"}, Part::kHost, "CapAdd", WriteStrings},
    {{"cap-drop", 0, kList, "CAPABILITY", "Drop a capability, or ALL"}, Part::kHost, "CapDrop", WriteStrings},
    {{"cgroupns", 0, kValue, "MODE", "Cgroup namespace: private or host"}, Part::kHost, "CgroupnsMode", WriteString},
    {{"cpu-period", 0, kValue, "USEC", "Length of a CPU period"}, Part::kHost, "CpuPeriod", WriteInt},
    {{"cpu-quota", 0, kValue, "USEC", "CPU time per period"}, Part::kHost, "CpuQuota", WriteInt},
    {{"cpu-shares", 'c', kValue, "WEIGHT", "Relative CPU weight, 1024 is normal"}, Part::kHost, "CpuShares", WriteInt},
    {{"cpus", 0, kValue, "NUMBER", "Processors the container may use, for example 1.5"}, Part::kHost, "NanoCpus", WriteNanoCpus},
    {{"cpuset-cpus", 0, kValue, "LIST", "Processors to run on, for example 0-1"}, Part::kHost, "CpusetCpus", WriteString},
    {{"cpuset-mems", 0, kValue, "LIST", "Memory nodes to use"}, Part::kHost, "CpusetMems", WriteString},
    {{"device", 0, kList, "HOST[:PATH[:rwm]]", "Give a device of the host to the container"}, Part::kHost, "Devices", WriteDevices},
    {{"device-cgroup-rule", 0, kList, "RULE", "Devices the container may use, for example \"c 1:3 rwm\""}, Part::kHost, "DeviceCgroupRules", WriteStrings},
    {{"device-read-bps", 0, kList, "DEVICE:BYTES", "Most that is read per second from a device"}, Part::kHost, "BlkioDeviceReadBps", WriteRates},
    {{"device-read-iops", 0, kList, "DEVICE:NUMBER", "Most reads per second from a device"}, Part::kHost, "BlkioDeviceReadIOps", WriteRates},
    {{"device-write-bps", 0, kList, "DEVICE:BYTES", "Most that is written per second to a device"}, Part::kHost, "BlkioDeviceWriteBps", WriteRates},
    {{"device-write-iops", 0, kList, "DEVICE:NUMBER", "Most writes per second to a device"}, Part::kHost, "BlkioDeviceWriteIOps", WriteRates},
    {{"dns", 0, kList, "ADDRESS", "Name server"}, Part::kHost, "Dns", WriteStrings},
    {{"dns-option", 0, kList, "OPTION", "Option of the resolver"}, Part::kHost, "DnsOptions", WriteStrings},
    {{"dns-search", 0, kList, "DOMAIN", "Search domain"}, Part::kHost, "DnsSearch", WriteStrings},
    {{"domainname", 0, kValue, "NAME", "NIS domain name"}, Part::kConfig, "Domainname", WriteString},
    {{"entrypoint", 0, kValue, "PROGRAM", "Replace the image's entry point"}, Part::kNone, "", nullptr},
    {{"env", 'e', kList, "NAME[=VALUE]", "Environment variable"}, Part::kNone, "", nullptr},
    {{"env-file", 0, kList, "FILE", "Environment variables, one per line"}, Part::kNone, "", nullptr},
    {{"expose", 0, kList, "PORT[/udp]", "A port the container serves"}, Part::kNone, "", nullptr},
    {{"group-add", 0, kList, "GROUP", "Additional group of the user"}, Part::kHost, "GroupAdd", WriteStrings},
    {{"health-cmd", 0, kValue, "COMMAND", "Command that tells by exit status 0 that the container is healthy"}, Part::kNone, "", nullptr},
    {{"health-interval", 0, kValue, "DURATION", "Time between two checks, 30s by default"}, Part::kNone, "", nullptr},
    {{"health-retries", 0, kValue, "NUMBER", "Failures in a row that make it unhealthy, 3 by default"}, Part::kNone, "", nullptr},
    {{"health-start-interval", 0, kValue, "DURATION", "Time between two checks in the start period, 5s by default"}, Part::kNone, "", nullptr},
    {{"health-start-period", 0, kValue, "DURATION", "Time for the start, in which failures do not count"}, Part::kNone, "", nullptr},
    {{"health-timeout", 0, kValue, "DURATION", "Time for one check, 30s by default"}, Part::kNone, "", nullptr},
    {{"hostname", 'h', kValue, "NAME", "Host name inside the container"}, Part::kConfig, "Hostname", WriteString},
    {{"init", 0, kFlag, "", "Run a small init as process 1"}, Part::kHost, "Init", WriteBool},
    {{"interactive", 'i', kFlag, "", "Keep standard input open"}, Part::kNone, "", nullptr},
    {{"ip", 0, kValue, "ADDRESS", "Address of the container in its network"}, Part::kNone, "", nullptr},
    {{"ipc", 0, kValue, "MODE", "IPC namespace: private or host"}, Part::kHost, "IpcMode", WriteString},
    {{"label", 'l', kList, "NAME[=VALUE]", "Label of the container"}, Part::kNone, "", nullptr},
    {{"label-file", 0, kList, "FILE", "Labels, one NAME[=VALUE] per line"}, Part::kNone, "", nullptr},
    {{"log-driver", 0, kValue, "DRIVER", "json-file or none"}, Part::kNone, "", nullptr},
    {{"log-opt", 0, kList, "NAME=VALUE", "Option of the log: max-size, max-file"}, Part::kNone, "", nullptr},
    {{"mac-address", 0, kValue, "ADDRESS", "Ethernet address of the container"}, Part::kNone, "", nullptr},
    {{"memory", 'm', kValue, "BYTES", "Memory limit, for example 64m"}, Part::kHost, "Memory", WriteBytes},
    {{"memory-reservation", 0, kValue, "BYTES", "Protected memory"}, Part::kHost, "MemoryReservation", WriteBytes},
    {{"memory-swap", 0, kValue, "BYTES", "Memory plus swap, -1 for any"}, Part::kHost, "MemorySwap", WriteBytes},
    {{"mount", 0, kList, "SPEC", "type=volume|bind|tmpfs,source=NAME|PATH,target=PATH[,readonly]"}, Part::kHost, "Mounts", WriteMounts},
    {{"network", 0, kList, "NETWORK", "bridge, host, none, container:NAME, or a network; the first is the main one"}, Part::kHost, "NetworkMode", WriteFirst},
    {{"network-alias", 0, kList, "NAME", "Further name of the container in the network"}, Part::kNone, "", nullptr},
    {{"no-healthcheck", 0, kFlag, "", "Do not run the image's health check"}, Part::kNone, "", nullptr},
    {{"oom-score-adj", 0, kValue, "NUMBER", "Preference of the OOM killer, -1000 to 1000"}, Part::kHost, "OomScoreAdj", WriteInt},
    {{"pid", 0, kValue, "MODE", "Process namespace: private or host"}, Part::kHost, "PidMode", WriteString},
    {{"pids-limit", 0, kValue, "NUMBER", "Most processes, -1 for any"}, Part::kHost, "PidsLimit", WriteInt},
    {{"privileged", 0, kFlag, "", "All capabilities and devices, no restrictions"}, Part::kHost, "Privileged", WriteBool},
    {{"publish", 'p', kList, "[[ADDRESS:]HOST:]PORT[/udp]", "Offer a port of the container on the host"}, Part::kNone, "", nullptr},
    {{"publish-all", 'P', kFlag, "", "Offer all exposed ports on free ports of the host"}, Part::kHost, "PublishAllPorts", WriteBool},
    {{"read-only", 0, kFlag, "", "Mount the root file system read-only"}, Part::kHost, "ReadonlyRootfs", WriteBool},
    {{"restart", 0, kValue, "POLICY", "When to start it again: no, always, unless-stopped, on-failure[:COUNT]"}, Part::kHost, "RestartPolicy", WriteRestart},
    {{"rm", 0, kFlag, "", "Remove the container when it ends"}, Part::kHost, "AutoRemove", WriteBool},
    {{"security-opt", 0, kList, "OPTION", "no-new-privileges, seccomp=unconfined or apparmor=PROFILE"}, Part::kHost, "SecurityOpt", WriteStrings},
    {{"shm-size", 0, kValue, "BYTES", "Size of /dev/shm"}, Part::kHost, "ShmSize", WriteBytes},
    {{"stop-signal", 0, kValue, "SIGNAL", "Signal that ends the container"}, Part::kConfig, "StopSignal", WriteString},
    {{"stop-timeout", 0, kValue, "SECONDS", "Wait so long before killing"}, Part::kConfig, "StopTimeout", WriteInt},
    {{"storage-opt", 0, kList, "size=BYTES", "Most that the container may write to its own layer"}, Part::kHost, "StorageOpt", WriteNameValues},
    {{"sysctl", 0, kList, "NAME=VALUE", "Kernel parameter of the container"}, Part::kHost, "Sysctls", WriteNameValues},
    {{"tmpfs", 0, kList, "PATH[:OPTIONS]", "Mount a file system in memory"}, Part::kHost, "Tmpfs", WriteTmpfs},
    {{"tty", 't', kFlag, "", "Give the container a terminal"}, Part::kNone, "", nullptr},
    {{"ulimit", 0, kList, "NAME=SOFT[:HARD]", "Resource limit"}, Part::kHost, "Ulimits", WriteUlimits},
    {{"user", 'u', kValue, "USER[:GROUP]", "User and group, by name or number"}, Part::kConfig, "User", WriteString},
    {{"userns", 0, kValue, "MODE", "User namespace: host for none of its own"}, Part::kHost, "UsernsMode", WriteString},
    {{"uts", 0, kValue, "MODE", "UTS namespace: host for that of the host"}, Part::kHost, "UTSMode", WriteString},
    {{"volume", 'v', kList, "[SOURCE:]PATH[:ro]", "Mount a volume, or a directory of the host"}, Part::kHost, "Binds", WriteStrings},
    {{"workdir", 'w', kValue, "PATH", "Working directory"}, Part::kConfig, "WorkingDir", WriteString},
};
// clang-format on

constexpr bool Sorted() {
  for (size_t i = 1; i < std::size(kRows); ++i) {
    if (kRows[i - 1].option.name >= kRows[i].option.name)
      return false;
  }
  return true;
}
static_assert(Sorted());

constexpr auto kOptions = [] {
  std::array<Option, std::size(kRows)> options{};
  for (size_t i = 0; i < options.size(); ++i)
    options[i] = kRows[i].option;
  return options;
}();

constexpr std::string_view kUpdatable[] = {
    "blkio-weight", "cpu-period", "cpu-quota",          "cpu-shares",  "cpus",       "cpuset-cpus",
    "cpuset-mems",  "memory",     "memory-reservation", "memory-swap", "pids-limit", "restart",
};

constexpr auto kUpdateOptions = [] {
  std::array<Option, std::size(kUpdatable)> options{};
  size_t count = 0;
  for (std::string_view name : kUpdatable) {
    for (const Row& row : kRows) {
      if (row.option.name == name)
        options[count++] = row.option;
    }
  }
  return options;
}();
static_assert(!kUpdateOptions.back().name.empty());

}  // namespace

std::span<const Option> CreateOptions() {
  return kOptions;
}

std::span<const Option> UpdateRequestOptions() {
  return kUpdateOptions;
}

Result<> WriteRows(JsonWriter& json, const Arguments& arguments, Part part) {
  for (const Row& row : kRows) {
    if (row.part != part || !arguments.Has(row.option.name))
      continue;
    json.Key(row.key);
    TRY_CTX(Cat("option --", row.option.name), row.write(json, arguments.List(row.option.name)));
  }
  return {};
}

}  // namespace wherry::cli
