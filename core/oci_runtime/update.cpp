// update: other limits for a running container, as a document or one by one.
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci_runtime/cgroups.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/state.h"
#include "core/runtime/cgroup_limits.h"

namespace wherry::oci_runtime {

namespace {

constexpr size_t kMaxResources = size_t{1} << 20;

enum class Kind : uint8_t { kNumber, kBytes, kText, kRefused };

// An option and the member of linux.resources it stands for. Rows of one section are together.
struct LimitRow {
  std::string_view option;
  std::string_view section;
  std::string_view member;
  Kind kind;
};
// clang-format off
constexpr LimitRow kLimits[] = {
    {"blkio-weight", "blockIO", "weight", Kind::kNumber},
    {"cpu-burst", "cpu", "burst", Kind::kNumber},
    {"cpu-idle", "cpu", "idle", Kind::kNumber},
    {"cpu-period", "cpu", "period", Kind::kNumber},
    {"cpu-quota", "cpu", "quota", Kind::kNumber},
    {"cpu-share", "cpu", "shares", Kind::kNumber},
    {"cpuset-cpus", "cpu", "cpus", Kind::kText},
    {"cpuset-mems", "cpu", "mems", Kind::kText},
    {"memory", "memory", "limit", Kind::kBytes},
    {"memory-reservation", "memory", "reservation", Kind::kBytes},
    {"memory-swap", "memory", "swap", Kind::kBytes},
    {"pids-limit", "pids", "limit", Kind::kNumber},
    // What cgroup v2 does not have.
    {"cpu-rt-period", "", "", Kind::kRefused},
    {"cpu-rt-runtime", "", "", Kind::kRefused},
    {"kernel-memory", "", "", Kind::kRefused},
    {"kernel-memory-tcp", "", "", Kind::kRefused},
};
// clang-format on

constexpr auto kUpdateRows = [] {
  std::array<OptionRow, std::size(kLimits) + 1> rows{};
  rows[0] = {"resources", 'r', Takes::kValue};
  for (size_t i = 0; i < std::size(kLimits); ++i) {
    Takes takes = kLimits[i].kind == Kind::kRefused ? Takes::kRefused : Takes::kValue;
    rows[i + 1] = {kLimits[i].option, 0, takes};
  }
  return rows;
}();

// "-1" is unlimited; bytes may have a unit, "64M".
Result<int64_t> Number(const LimitRow& row, const std::string& text) {
  Result<int64_t> number = ParseInt(text);
  if (!number && row.kind == Kind::kBytes) {
    uint64_t bytes = TRY_CTX(Cat("--", row.option), ParseSize(text));
    number = static_cast<int64_t>(std::min<uint64_t>(bytes, INT64_MAX));
  }
  if (!number || *number < -1)
    return Fail(Errc::kInvalid, Cat("--", row.option, " ", text, " is not a number"));
  return number;
}

// linux.resources with what the options say.
Result<std::string> ResourcesJson(const Options& options) {
  JsonWriter json;
  json.Object();
  std::string_view section;
  for (const LimitRow& row : kLimits) {
    if (!options.Has(row.option))
      continue;
    if (row.section != section) {
      if (!section.empty())
        json.End();
      section = row.section;
      json.Key(section).Object();
    }
    std::string text = options.Value(row.option);
    if (row.kind == Kind::kText) {
      json.Field(row.member, text);
    } else {
      int64_t number = TRY(Number(row, text));
      json.Field(row.member, number);
    }
  }
  if (section.empty())
    return Fail(Errc::kInvalid, "update needs --resources or a limit, such as --memory 64M");
  json.End().End();
  return json.Take();
}

Result<std::string> ReadResources(const Options& options) {
  std::string path = options.Value("resources");
  if (path.empty())
    return ResourcesJson(options);
  if (path == "-")
    return ReadAll(STDIN_FILENO, kMaxResources, "resources");
  return ReadFile(path, kMaxResources);
}

// What is not a file of the cgroup.
Result<> TellRest(const std::string& unit, runtime::Cgroup& cgroup,
                  const oci::LinuxResources& resources) {
  if (!unit.empty()) {
    runtime::Systemd systemd = TRY(runtime::Systemd::Connect());
    TRY(TellLimits(systemd, unit, cgroup, resources));
  }
  return resources.devices.empty() ? Result<>() : cgroup.SetDevices(resources);
}

}  // namespace

const std::span<const OptionRow> kUpdateOptions = kUpdateRows;

Result<int> Update(const Call& call) {
  std::string text = TRY(ReadResources(call.options));
  oci::LinuxResources resources = TRY(oci::ParseResources(text));
  Container container = TRY(FindRunning(call.globals.root, call.id()));
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  std::vector<runtime::CgroupWrite> former = TRY(cgroup.ChangeLimits(resources));
  Result<> rest = TellRest(container.state.unit, cgroup, resources);
  if (!rest)
    return std::unexpected(cgroup.PutBack(former, std::move(rest).error()));
  return 0;
}

}  // namespace wherry::oci_runtime
