#include "core/oci/spec_resources.h"

#include "core/base/text.h"

namespace wherry::oci {

namespace {

constexpr int64_t kMaxMajor = 4095;
constexpr int64_t kMaxMinor = 1048575;

// Members that cgroup v2 has no equivalent for. Zero and false ask for nothing.
constexpr std::string_view kUnsupportedMembers[][2] = {
    {"memory", "kernel"},       {"memory", "kernelTCP"},   {"memory", "disableOOMKiller"},
    {"cpu", "realtimeRuntime"}, {"cpu", "realtimePeriod"}, {"blockIO", "leafWeight"},
    {"network", "classID"},
};

Result<> RefuseUnsupported(const Field& field) {
  for (const auto& row : kUnsupportedMembers) {
    Field member = field[row[0]][row[1]];
    if (member && (member.value().boolean() || member.value().integer() > 0))
      return member.Unsupported();
  }
  // Here 0 does ask for something: no swapping.
  if (Field swappiness = field["memory"]["swappiness"])
    return swappiness.Unsupported();
  Field priorities = field["network"]["priorities"];
  if (priorities && priorities.value().size() > 0)
    return priorities.Unsupported();
  return {};
}

// A device number where -1 and absence mean "any".
Result<std::optional<uint32_t>> ReadWildcard(const Field& field, int64_t high) {
  if (!field)
    return std::optional<uint32_t>();
  int64_t number = TRY(field.Number(-1, high));
  if (number < 0)
    return std::optional<uint32_t>();
  return std::optional<uint32_t>(static_cast<uint32_t>(number));
}

Result<> ReadAccess(const Field& field, DeviceRule& rule) {
  std::string access = TRY(field.Text());
  for (char c : access) {
    if (c == 'r')
      rule.read = true;
    else if (c == 'w')
      rule.write = true;
    else if (c == 'm')
      rule.mknod = true;
    else
      return field.Bad("may only have r, w and m");
  }
  if (access.empty())
    rule.read = rule.write = rule.mknod = true;
  return {};
}

Result<> ReadDeviceRules(const Field& field, std::vector<DeviceRule>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    DeviceRule rule;
    rule.allow = TRY(element["allow"].Flag());
    std::string type = TRY(element["type"].Text());
    if (type.empty())
      type = "a";
    if (type != "a" && type != "b" && type != "c" && type != "u")
      return element["type"].Bad("must be a, b or c");
    rule.type = type == "u" ? 'c' : type[0];
    rule.major = TRY(ReadWildcard(element["major"], kMaxMajor));
    rule.minor = TRY(ReadWildcard(element["minor"], kMaxMinor));
    TRY(ReadAccess(element["access"], rule));
    out.push_back(rule);
  }
  return {};
}

Result<> ReadMemory(const Field& field, Memory& memory) {
  TRY(field.ExpectObject());
  TRY(field["limit"].Store(memory.limit, -1, INT64_MAX));
  TRY(field["reservation"].Store(memory.reservation, -1, INT64_MAX));
  TRY(field["swap"].Store(memory.swap, -1, INT64_MAX));
  memory.check_before_update = TRY(field["checkBeforeUpdate"].Flag());
  return {};
}

Result<> ReadCpu(const Field& field, Cpu& cpu) {
  TRY(field.ExpectObject());
  TRY(field["shares"].Store(cpu.shares, 0, INT64_MAX));
  TRY(field["quota"].Store(cpu.quota, INT64_MIN, INT64_MAX));
  TRY(field["burst"].Store(cpu.burst, 0, INT64_MAX));
  TRY(field["period"].Store(cpu.period, 0, INT64_MAX));
  TRY(field["idle"].Store(cpu.idle, 0, 1));
  cpu.cpus = TRY(field["cpus"].Text());
  cpu.mems = TRY(field["mems"].Text());
  return {};
}

Result<> ReadDeviceNumber(const Field& element, uint32_t& major, uint32_t& minor) {
  TRY(element.ExpectObject());
  major = static_cast<uint32_t>(TRY(element["major"].Number(0, kMaxMajor)));
  minor = static_cast<uint32_t>(TRY(element["minor"].Number(0, kMaxMinor)));
  return {};
}

Result<> ReadRates(const Field& field, std::vector<DeviceRate>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    DeviceRate rate;
    TRY(ReadDeviceNumber(element, rate.major, rate.minor));
    rate.rate = static_cast<uint64_t>(TRY(element["rate"].Number(0, INT64_MAX)));
    out.push_back(rate);
  }
  return {};
}

Result<> ReadBlockIo(const Field& field, BlockIo& io) {
  TRY(field.ExpectObject());
  TRY(field["weight"].Store(io.weight, 0, 1000));
  std::vector<Field> weights = TRY(field["weightDevice"].Elements());
  for (const Field& element : weights) {
    DeviceWeight weight;
    TRY(ReadDeviceNumber(element, weight.major, weight.minor));
    if (element["leafWeight"])
      return element["leafWeight"].Unsupported();
    TRY(element["weight"].Store(weight.weight, 0, 1000));
    io.device_weights.push_back(weight);
  }
  TRY(ReadRates(field["throttleReadBpsDevice"], io.read_bps));
  TRY(ReadRates(field["throttleWriteBpsDevice"], io.write_bps));
  TRY(ReadRates(field["throttleReadIOPSDevice"], io.read_iops));
  TRY(ReadRates(field["throttleWriteIOPSDevice"], io.write_iops));
  return {};
}

Result<> ReadHugepages(const Field& field, std::vector<HugepageLimit>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    HugepageLimit limit;
    limit.page_size = TRY(element["pageSize"].Text());
    if (limit.page_size.empty() || limit.page_size.find_first_of("/.") != std::string::npos) {
      return element["pageSize"].Bad("must be a size such as 2MB");
    }
    limit.limit = static_cast<uint64_t>(TRY(element["limit"].Number(0, INT64_MAX)));
    out.push_back(std::move(limit));
  }
  return {};
}

Result<> ReadRdma(const Field& field, std::vector<RdmaLimit>& out) {
  std::vector<Field> members = TRY(field.Members());
  for (const Field& member : members) {
    TRY(member.ExpectObject());
    RdmaLimit limit;
    limit.device = member.key();
    if (limit.device.empty() || limit.device.find_first_of(" /\n") != std::string::npos)
      return member.Bad("must be the name of an RDMA device");
    TRY(member["hcaHandles"].Store(limit.handles, 0, INT32_MAX));
    TRY(member["hcaObjects"].Store(limit.objects, 0, INT32_MAX));
    out.push_back(std::move(limit));
  }
  return {};
}

Result<> ReadUnified(const Field& field, std::map<std::string, std::string>& out) {
  std::vector<Field> members = TRY(field.Members());
  for (const Field& member : members) {
    if (member.key().empty() || member.key().find('/') != std::string_view::npos ||
        member.key().starts_with('.')) {
      return member.Bad("must be the name of a file");
    }
    if (!member.value().IsString())
      return member.Bad("must be a string");
    out[std::string(member.key())] = std::string(member.value().str());
  }
  return {};
}

}  // namespace

Result<> ReadResources(const Field& field, LinuxResources& out) {
  TRY(field.ExpectObject());
  TRY(RefuseUnsupported(field));
  TRY(ReadDeviceRules(field["devices"], out.devices));
  TRY(ReadMemory(field["memory"], out.memory));
  TRY(ReadCpu(field["cpu"], out.cpu));
  TRY(field["pids"].ExpectObject());
  TRY(field["pids"]["limit"].Store(out.pids_limit, -1, INT64_MAX));
  TRY(ReadBlockIo(field["blockIO"], out.block_io));
  TRY(ReadHugepages(field["hugepageLimits"], out.hugepage_limits));
  TRY(ReadRdma(field["rdma"], out.rdma));
  TRY(ReadUnified(field["unified"], out.unified));
  return {};
}

}  // namespace wherry::oci
