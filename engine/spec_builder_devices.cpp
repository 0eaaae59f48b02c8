// Devices and limits of a container: linux.devices and linux.resources.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <optional>

#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/spec_builder.h"

namespace wherry::engine {

namespace {

struct DeviceNode {
  std::string path;  // in the container
  char type;         // 'b' or 'c'
  uint32_t major;
  uint32_t minor;
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  std::string access;
};

std::optional<DeviceNode> NodeAt(const std::string& host_path, std::string container_path,
                                 std::string access) {
  struct stat info{};
  if (stat(host_path.c_str(), &info) != 0 || !(S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)))
    return std::nullopt;
  return DeviceNode{std::move(container_path),
                    S_ISBLK(info.st_mode) ? 'b' : 'c',
                    major(info.st_rdev),
                    minor(info.st_rdev),
                    info.st_mode & 07777,
                    info.st_uid,
                    info.st_gid,
                    std::move(access)};
}

// What the engine mounts itself or what is not a device of the machine.
bool IsPseudoDevice(std::string_view name) {
  return name == "pts" || name == "shm" || name == "fd" || name == "mqueue" || name == "console" ||
         name == "ptmx" || name == ".lxc" || name == ".lxd-mounts" || name == ".udev";
}

// Every device node below a directory of the host (--device DIR, --privileged). Links are not
// followed.
void CollectNodes(std::vector<DeviceNode>& nodes, const std::string& host,
                  const std::string& container, const std::string& access, int depth) {
  auto entries = ListDir(host);
  if (!entries || depth == 0)
    return;
  for (const std::string& entry : *entries) {
    if (IsPseudoDevice(entry))
      continue;
    std::string path = Cat(host, "/", entry);
    struct stat info{};
    if (lstat(path.c_str(), &info) != 0 || S_ISLNK(info.st_mode))
      continue;
    if (S_ISDIR(info.st_mode)) {
      CollectNodes(nodes, path, Cat(container, "/", entry), access, depth - 1);
    } else if (auto node = NodeAt(path, Cat(container, "/", entry), access)) {
      nodes.push_back(std::move(*node));
    }
  }
}

constexpr int kMaxDepth = 6;

Result<std::vector<DeviceNode>> RequestedNodes(const HostOptions& options) {
  std::vector<DeviceNode> nodes;
  if (options.privileged) {
    CollectNodes(nodes, "/dev", "/dev", "rwm", kMaxDepth);
    return nodes;
  }
  for (const DeviceRequest& request : options.devices) {
    if (auto node = NodeAt(request.host_path, request.container_path, request.access)) {
      nodes.push_back(std::move(*node));
      continue;
    }
    size_t before = nodes.size();
    CollectNodes(nodes, request.host_path, request.container_path, request.access, kMaxDepth);
    if (nodes.size() == before) {
      return Fail(
          Errc::kInvalid,
          Cat("error gathering device information while adding custom device \"", request.host_path,
              "\": ", PathExists(request.host_path) ? "not a device node" : "it does not exist"));
    }
  }
  return nodes;
}

void WriteRule(JsonWriter& json, bool allow, std::string_view type, std::string_view major_text,
               std::string_view minor_text, std::string_view access) {
  json.Object().Field("allow", allow).Field("type", type);
  if (major_text != "*")
    json.Key("major").Raw(major_text);
  if (minor_text != "*")
    json.Key("minor").Raw(minor_text);
  json.Field("access", access).End();
}

// Docker's rules; the runtime adds what every container can use (full, tty, ptmx, pts).
void WriteDeviceRules(JsonWriter& json, const HostOptions& options,
                      const std::vector<DeviceNode>& nodes) {
  json.Key("devices").Array();
  if (options.privileged) {
    json.Object().Field("allow", true).Field("type", "a").Field("access", "rwm").End();
    json.End();
    return;
  }
  constexpr std::string_view kAllowed[][2] = {{"1", "3"}, {"1", "5"}, {"1", "8"},
                                              {"1", "9"}, {"5", "0"}, {"5", "1"}};
  json.Object().Field("allow", false).Field("type", "a").Field("access", "rwm").End();
  for (const auto& [major_text, minor_text] : kAllowed)
    WriteRule(json, true, "c", major_text, minor_text, "rwm");
  WriteRule(json, false, "c", "10", "229", "rwm");
  for (const DeviceNode& node : nodes) {
    WriteRule(json, true, std::string_view(&node.type, 1), Cat(node.major), Cat(node.minor),
              node.access);
  }
  for (const std::string& rule : options.device_rules) {
    auto words = Split(rule, ' ');
    auto numbers = SplitFirst(words[1], ':');
    WriteRule(json, true, words[0], numbers->head, numbers->tail, words[2]);
  }
  json.End();
}

void WriteMemory(JsonWriter& json, const LimitRequest& limits) {
  json.Key("memory").Object();
  if (limits.memory > 0)
    json.Field("limit", limits.memory);
  if (limits.memory_reservation > 0)
    json.Field("reservation", limits.memory_reservation);
  if (limits.memory_swap != 0)
    json.Field("swap", limits.memory_swap);
  json.End();
}

void WriteCpu(JsonWriter& json, const LimitRequest& limits) {
  json.Key("cpu").Object();
  if (limits.cpu_shares > 0)
    json.Field("shares", limits.cpu_shares);
  if (limits.cpu_quota != 0)
    json.Field("quota", limits.cpu_quota);
  if (limits.cpu_period > 0)
    json.Field("period", limits.cpu_period);
  if (!limits.cpuset_cpus.empty())
    json.Field("cpus", limits.cpuset_cpus);
  if (!limits.cpuset_mems.empty())
    json.Field("mems", limits.cpuset_mems);
  json.End();
}

Result<> WriteThrottles(JsonWriter& json, std::string_view key, std::string_view value_key,
                        const std::vector<ThrottleRequest>& throttles) {
  if (throttles.empty())
    return {};
  json.Key(key).Array();
  for (const ThrottleRequest& throttle : throttles) {
    auto node = NodeAt(throttle.path, {}, {});
    if (!node || node->type != 'b') {
      return Fail(Errc::kInvalid,
                  Cat("cannot limit I/O of ", throttle.path, ": it is not a block device"));
    }
    json.Object()
        .Field("major", node->major)
        .Field("minor", node->minor)
        .Field(value_key, throttle.rate)
        .End();
  }
  json.End();
  return {};
}

Result<> WriteBlockIo(JsonWriter& json, const LimitRequest& limits) {
  json.Key("blockIO").Object();
  if (limits.blkio_weight > 0)
    json.Field("weight", limits.blkio_weight);
  TRY(WriteThrottles(json, "weightDevice", "weight", limits.blkio_weight_device));
  TRY(WriteThrottles(json, "throttleReadBpsDevice", "rate", limits.read_bps));
  TRY(WriteThrottles(json, "throttleWriteBpsDevice", "rate", limits.write_bps));
  TRY(WriteThrottles(json, "throttleReadIOPSDevice", "rate", limits.read_iops));
  TRY(WriteThrottles(json, "throttleWriteIOPSDevice", "rate", limits.write_iops));
  json.End();
  return {};
}

}  // namespace

Result<> WriteDevices(JsonWriter& json, const HostOptions& options) {
  auto nodes = TRY(RequestedNodes(options));
  json.Key("devices").Array();
  for (const DeviceNode& node : nodes) {
    json.Object().Field("path", node.path).Field("type", std::string_view(&node.type, 1));
    json.Field("major", node.major).Field("minor", node.minor).Field("fileMode", node.mode);
    json.Field("uid", node.uid).Field("gid", node.gid).End();
  }
  json.End();
  return {};
}

Result<> WriteResources(JsonWriter& json, const HostOptions& options) {
  const LimitRequest& limits = options.limits;
  json.Key("resources").Object();
  WriteDeviceRules(json, options, TRY(RequestedNodes(options)));
  WriteMemory(json, limits);
  WriteCpu(json, limits);
  if (limits.pids > 0)
    json.Key("pids").Object().Field("limit", limits.pids).End();
  TRY(WriteBlockIo(json, limits));
  json.End();
  return {};
}

}  // namespace wherry::engine
