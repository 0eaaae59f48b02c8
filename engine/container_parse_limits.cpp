#include <unistd.h>

#include "core/base/text.h"
#include "engine/container_parse.h"

namespace wherry::engine {

namespace {

constexpr int64_t kMinMemory = 6 << 20;
constexpr uint64_t kMinStorage = 1 << 20;
constexpr int64_t kDefaultPeriod = 100'000;
constexpr int64_t kNanosPerCpu = 1'000'000'000;

// "0-3,7": digits, ranges and commas, as cpuset wants it.
bool IsSetList(std::string_view text) {
  for (std::string_view range : Split(text, ',')) {
    auto ends = SplitFirst(range, '-');
    auto first = ParseUint(ends ? ends->head : range);
    if (!first)
      return false;
    if (!ends)
      continue;
    auto last = ParseUint(ends->tail);
    if (!last || *last < *first)
      return false;
  }
  return true;
}

Result<std::string> ParseSet(JsonValue host, std::string_view name) {
  std::string text(host[name].str());
  if (!text.empty() && !IsSetList(text)) {
    return Fail(Errc::kInvalid, Cat("Invalid value ", text, " for ", name));
  }
  return text;
}

Result<> CheckMemory(const LimitRequest& limits) {
  if (limits.memory < 0 || limits.memory_reservation < 0 || limits.memory_swap < -1) {
    return Fail(Errc::kInvalid, "memory limits must not be negative");
  }
  if (limits.memory > 0 && limits.memory < kMinMemory) {
    return Fail(Errc::kInvalid, "Minimum memory limit allowed is 6MB");
  }
  if (limits.memory > 0 && limits.memory_swap > 0 && limits.memory_swap < limits.memory) {
    return Fail(Errc::kInvalid,
                "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (limits.memory == 0 && limits.memory_swap > 0) {
    return Fail(Errc::kInvalid,
                "You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (limits.memory_reservation > 0 && limits.memory_reservation < kMinMemory) {
    return Fail(Errc::kInvalid, "Minimum memory reservation allowed is 6MB");
  }
  if (limits.memory > 0 && limits.memory_reservation > limits.memory) {
    return Fail(Errc::kInvalid,
                "Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  return {};
}

Result<> ParseProcessor(LimitRequest& limits, JsonValue host) {
  limits.cpu_shares = host["CpuShares"].integer();
  limits.cpu_quota = host["CpuQuota"].integer();
  limits.cpu_period = host["CpuPeriod"].integer();
  limits.cpuset_cpus = TRY(ParseSet(host, "CpusetCpus"));
  limits.cpuset_mems = TRY(ParseSet(host, "CpusetMems"));
  int64_t nano_cpus = host["NanoCpus"].integer();
  if (limits.cpu_shares < 0)
    return Fail(Errc::kInvalid, "CPU shares must not be negative");
  if (nano_cpus != 0 && (limits.cpu_quota != 0 || limits.cpu_period != 0)) {
    return Fail(Errc::kInvalid,
                "Conflicting options: Nano CPUs and CPU Quota or Period cannot both be set");
  }
  if (limits.cpu_period != 0 && (limits.cpu_period < 1000 || limits.cpu_period > 1'000'000)) {
    return Fail(
        Errc::kInvalid,
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (limits.cpu_quota != 0 && limits.cpu_quota != -1 && limits.cpu_quota < 1000) {
    return Fail(Errc::kInvalid, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  if (nano_cpus == 0)
    return {};
  int64_t processors = sysconf(_SC_NPROCESSORS_ONLN);
  if (nano_cpus < kNanosPerCpu / 100 || nano_cpus > processors * kNanosPerCpu) {
    return Fail(Errc::kInvalid, Cat("range of CPUs is from 0.01 to ", processors,
                                    ".00, as there are only ", processors, " CPUs available"));
  }
  limits.cpu_period = kDefaultPeriod;
  limits.cpu_quota = nano_cpus / (kNanosPerCpu / kDefaultPeriod);
  return {};
}

Result<std::vector<ThrottleRequest>> ParseThrottles(JsonValue host, std::string_view name,
                                                    std::string_view rate) {
  std::vector<ThrottleRequest> throttles;
  for (JsonValue entry : host[name]) {
    int64_t value = entry[rate].integer(-1);
    if (!entry["Path"].str().starts_with('/') || value < 0) {
      return Fail(Errc::kInvalid,
                  Cat("HostConfig.", name, ": needs an absolute Path and a ", rate));
    }
    throttles.push_back({std::string(entry["Path"].str()), static_cast<uint64_t>(value)});
  }
  return throttles;
}

Result<> CheckBlkioWeight(int64_t weight) {
  if (weight == 0 || (weight >= 10 && weight <= 1000))
    return {};
  return Fail(Errc::kInvalid, "Range of blkio weight is from 10 to 1000");
}

bool IsAccess(std::string_view access) {
  return !access.empty() && access.find_first_not_of("rwm") == std::string_view::npos;
}

bool IsDeviceNumber(std::string_view text) {
  return text == "*" || ParseUint(text).has_value();
}

}  // namespace

Result<LimitRequest> ParseLimits(JsonValue host) {
  LimitRequest limits;
  limits.memory = host["Memory"].integer();
  limits.memory_reservation = host["MemoryReservation"].integer();
  limits.memory_swap = host["MemorySwap"].integer();
  TRY(CheckMemory(limits));
  TRY(ParseProcessor(limits, host));
  limits.pids = host["PidsLimit"].integer();
  limits.blkio_weight = host["BlkioWeight"].integer();
  TRY(CheckBlkioWeight(limits.blkio_weight));
  limits.blkio_weight_device = TRY(ParseThrottles(host, "BlkioWeightDevice", "Weight"));
  for (const ThrottleRequest& device : limits.blkio_weight_device) {
    TRY(CheckBlkioWeight(static_cast<int64_t>(device.rate)));
  }
  limits.read_bps = TRY(ParseThrottles(host, "BlkioDeviceReadBps", "Rate"));
  limits.write_bps = TRY(ParseThrottles(host, "BlkioDeviceWriteBps", "Rate"));
  limits.read_iops = TRY(ParseThrottles(host, "BlkioDeviceReadIOps", "Rate"));
  limits.write_iops = TRY(ParseThrottles(host, "BlkioDeviceWriteIOps", "Rate"));
  return limits;
}

Result<uint64_t> ParseStorageSize(JsonValue options) {
  uint64_t size = 0;
  for (JsonValue option : options) {
    if (option.key() != "size")
      return Fail(Errc::kInvalid, Cat("Unknown option ", option.key(), " of --storage-opt"));
    size = TRY_CTX("--storage-opt size", ParseSize(option.str()));
    if (size < kMinStorage)
      return Fail(Errc::kInvalid, "--storage-opt size must be at least 1m");
  }
  return size;
}

Result<std::vector<Ulimit>> ParseUlimits(JsonValue list) {
  constexpr std::string_view kNames[] = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  std::vector<Ulimit> ulimits;
  for (JsonValue entry : list) {
    Ulimit ulimit{std::string(entry["Name"].str()), entry["Soft"].integer(),
                  entry["Hard"].integer()};
    bool known = false;
    for (std::string_view name : kNames)
      known |= name == ulimit.name;
    if (!known)
      return Fail(Errc::kInvalid, Cat("invalid ulimit type: ", ulimit.name));
    if (ulimit.soft < -1 || ulimit.hard < -1) {
      return Fail(Errc::kInvalid, Cat("ulimit ", ulimit.name, " must be -1 (unlimited) or more"));
    }
    bool above = ulimit.hard != -1 && (ulimit.soft == -1 || ulimit.soft > ulimit.hard);
    if (above) {
      return Fail(Errc::kInvalid,
                  Cat("ulimit soft limit must be less than or equal to hard limit: ", ulimit.name));
    }
    ulimits.push_back(std::move(ulimit));
  }
  return ulimits;
}

Result<std::vector<DeviceRequest>> ParseDevices(JsonValue list) {
  std::vector<DeviceRequest> devices;
  for (JsonValue entry : list) {
    DeviceRequest device;
    device.host_path = entry["PathOnHost"].str();
    device.container_path = entry["PathInContainer"].str(device.host_path);
    if (device.container_path.empty())
      device.container_path = device.host_path;
    if (!entry["CgroupPermissions"].str().empty())
      device.access = entry["CgroupPermissions"].str();
    if (!device.host_path.starts_with('/') || !device.container_path.starts_with('/')) {
      return Fail(Errc::kInvalid,
                  Cat("error gathering device information while adding custom device \"",
                      device.host_path, "\": not a device node"));
    }
    if (!IsAccess(device.access))
      return Fail(Errc::kInvalid, Cat("invalid device mode: ", device.access));
    devices.push_back(std::move(device));
  }
  return devices;
}

Result<std::vector<std::string>> ParseDeviceRules(JsonValue list) {
  std::vector<std::string> rules = list.strings();
  for (const std::string& rule : rules) {
    auto words = Split(rule, ' ');
    bool valid = words.size() == 3 && (words[0] == "a" || words[0] == "b" || words[0] == "c") &&
                 IsAccess(words[2]);
    if (valid) {
      auto numbers = SplitFirst(words[1], ':');
      valid = numbers && IsDeviceNumber(numbers->head) && IsDeviceNumber(numbers->tail);
    }
    if (!valid)
      return Fail(Errc::kInvalid, Cat("invalid device cgroup rule: '", rule, "'"));
  }
  return rules;
}

}  // namespace wherry::engine
