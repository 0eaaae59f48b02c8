#include "core/runtime/controllers.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::runtime {

namespace {

struct Row {
  std::string_view name;
  std::string_view v1_name;  // in /proc/cgroups
  std::string_view option;
};
constexpr Row kRows[] = {
    {"cpu", "cpu", "CONFIG_CGROUP_SCHED"},  {"cpuset", "cpuset", "CONFIG_CPUSETS"},
    {"io", "blkio", "CONFIG_BLK_CGROUP"},   {"memory", "memory", "CONFIG_MEMCG"},
    {"pids", "pids", "CONFIG_CGROUP_PIDS"}, {"hugetlb", "hugetlb", "CONFIG_CGROUP_HUGETLB"},
    {"rdma", "rdma", "CONFIG_CGROUP_RDMA"},
};

const Row* Find(std::string_view name) {
  const Row* row = std::ranges::find(kRows, name, &Row::name);
  return row == std::end(kRows) ? nullptr : row;
}

// Newer kernels leave controllers without a version 1 out of /proc/cgroups.
bool DisabledByCommandLine(const Row& row) {
  constexpr std::string_view kDisable = "cgroup_disable=";
  auto line = ReadFile("/proc/cmdline");
  if (!line)
    return false;
  for (std::string_view word : Split(Trim(*line), ' ')) {
    if (!word.starts_with(kDisable))
      continue;
    auto names = Split(word.substr(kDisable.size()), ',');
    if (std::ranges::find(names, row.v1_name) != names.end())
      return true;
  }
  return false;
}

}  // namespace

Controller AskController(const sys::CgroupHost& host, std::string_view name) {
  if (auto root = OpenDir(host.mount)) {
    auto offered = sys::ReadCgroupWords(root->get(), "cgroup.controllers");
    if (offered && std::ranges::find(*offered, name) != offered->end())
      return Controller::kOffered;
  }
  const Row* row = Find(name);
  if (row == nullptr)
    return Controller::kAbsent;
  auto table = ReadFile("/proc/cgroups");
  for (std::string_view line : Split(table ? std::string_view(*table) : "", '\n')) {
    std::vector<std::string_view> fields = Split(line, '\t');
    if (fields.size() < 4 || fields[0] != row->v1_name)
      continue;
    if (fields[3] == "0")
      return Controller::kOff;
    if (fields[1] != "0")
      return Controller::kOnV1;
  }
  return DisabledByCommandLine(*row) ? Controller::kOff : Controller::kAbsent;
}

std::string_view ControllerOption(std::string_view name) {
  const Row* row = Find(name);
  return row == nullptr ? std::string_view() : row->option;
}

}  // namespace wherry::runtime
