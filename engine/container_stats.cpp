#include "engine/container_stats.h"

#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxFile = 4 << 20;
constexpr size_t kCpuFields = 7;  // user to softirq, as Docker adds them up
constexpr size_t kDevFields = 16;

std::vector<uint64_t> Numbers(std::string_view text) {
  std::vector<uint64_t> numbers;
  for (std::string_view word : Split(text, ' ')) {
    if (!word.empty())
      numbers.push_back(ParseUint(word).value_or(0));
  }
  return numbers;
}

uint64_t SystemCpuNanos() {
  std::string text = ReadFile("/proc/stat", kMaxFile).value_or("");
  auto line = SplitFirst(text, '\n');
  if (!line || !line->head.starts_with("cpu "))
    return 0;
  uint64_t ticks = 0;
  auto fields = Numbers(line->head.substr(4));
  for (size_t i = 0; i < std::min(kCpuFields, fields.size()); ++i)
    ticks += fields[i];
  return ticks * (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

}  // namespace

std::vector<InterfaceCounters> ParseInterfaces(std::string_view text) {
  std::vector<InterfaceCounters> interfaces;
  for (std::string_view line : Split(text, '\n')) {
    auto split = SplitFirst(line, ':');
    if (!split)
      continue;  // the two lines of titles
    auto numbers = Numbers(split->tail);
    std::string_view name = Trim(split->head);
    if (numbers.size() < kDevFields || name == "lo")
      continue;
    interfaces.push_back({std::string(name), numbers[0], numbers[1], numbers[2], numbers[3],
                          numbers[8], numbers[9], numbers[10], numbers[11]});
  }
  return interfaces;
}

Result<StatsSample> SampleStats(const std::string& cgroup, int pid) {
  StatsSample sample;
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  auto group = TRY(runtime::Cgroup::Open(host, cgroup));
  sample.running = true;
  sample.cgroup = group.Stats();
  sample.system_cpu_nanos = SystemCpuNanos();
  sample.online_cpus = static_cast<uint64_t>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
  uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  sample.memory_limit = std::min(sample.cgroup.memory_max.value_or(UINT64_MAX), machine);
  if (pid != 0)
    sample.interfaces =
        ParseInterfaces(ReadFile(Cat("/proc/", pid, "/net/dev"), kMaxFile).value_or(""));
  sample.unix_nanos = UnixNanosNow();
  return sample;
}

}  // namespace wherry::engine
