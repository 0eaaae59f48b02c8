#include "core/oci_runtime/stats.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/sys/cgroup.h"

namespace wherry::oci_runtime {

namespace {

using runtime::CgroupStats;

// The lines of a file of the cgroup; none where the kernel does not have it.
class Lines {
 public:
  Lines(int dir, const char* file) {
    if (Result<std::string> text = ReadFileAt(dir, file)) {
      text_ = *std::move(text);
      if (std::string_view trimmed = Trim(text_); !trimmed.empty())
        lines_ = Split(trimmed, '\n');
    }
  }
  auto begin() const { return lines_.begin(); }
  auto end() const { return lines_.end(); }

 private:
  std::string text_;
  std::vector<std::string_view> lines_;
};

// Pressure stall information, "some avg10=0.12 avg60=0.00 avg300=0.00 total=345": for each kind of
// line an object of its numbers.
void WritePressure(JsonWriter& json, int dir, const char* file) {
  Lines lines(dir, file);
  if (lines.begin() == lines.end())
    return;
  json.Key("psi").Object();
  for (std::string_view line : lines) {
    std::vector<std::string_view> words = Split(line, ' ');
    json.Key(words[0]).Object();
    for (std::string_view word : words) {
      if (auto pair = SplitFirst(word, '='))
        json.Key(pair->head).Raw(pair->tail);
    }
    json.End();
  }
  json.End();
}

void WriteCpu(JsonWriter& json, int dir, const CgroupStats& stats) {
  constexpr uint64_t kNanos = 1000;
  json.Key("cpu").Object().Key("usage").Object();
  json.Field("total", stats.cpu_usage_us.value_or(0) * kNanos);
  json.Field("kernel", stats.cpu_system_us.value_or(0) * kNanos);
  json.Field("user", stats.cpu_user_us.value_or(0) * kNanos).End();
  json.Key("throttling").Object();
  json.Field("periods", stats.cpu_periods.value_or(0));
  json.Field("throttledPeriods", stats.cpu_throttled_periods.value_or(0));
  json.Field("throttledTime", stats.cpu_throttled_us.value_or(0) * kNanos).End();
  WritePressure(json, dir, "cpu.pressure");
  json.End();
}

struct MemoryUse {
  uint64_t limit;
  uint64_t usage;
  uint64_t peak;
  uint64_t failures;
};

void WriteMemoryUse(JsonWriter& json, std::string_view key, const MemoryUse& use) {
  json.Key(key).Object().Field("limit", use.limit).Field("usage", use.usage);
  json.Field("max", use.peak).Field("failcnt", use.failures).End();
}

void WriteMemory(JsonWriter& json, int dir, const CgroupStats& stats) {
  MemoryUse memory{stats.memory_max.value_or(0), stats.memory_current.value_or(0),
                   stats.memory_peak.value_or(0), stats.oom_kills.value_or(0)};
  // Memory and swap together, as cgroup v1 counted.
  uint64_t swap_limit = sys::ReadCgroupNumber(dir, "memory.swap.max").value_or(0);
  bool unlimited = swap_limit == UINT64_MAX || memory.limit == UINT64_MAX;
  MemoryUse with_swap{unlimited ? UINT64_MAX : memory.limit + swap_limit,
                      memory.usage + stats.swap_current.value_or(0), 0, 0};
  json.Key("memory").Object();
  json.Field("cache", sys::ReadCgroupKey(dir, "memory.stat", "file").value_or(0));
  WriteMemoryUse(json, "usage", memory);
  WriteMemoryUse(json, "swap", with_swap);
  json.Key("raw").Object();
  for (std::string_view line : Lines(dir, "memory.stat")) {
    if (auto pair = SplitFirst(line, ' '))
      json.Key(pair->head).Raw(pair->tail);
  }
  json.End();
  WritePressure(json, dir, "memory.pressure");
  json.End();
}

void WritePids(JsonWriter& json, const CgroupStats& stats) {
  uint64_t limit = stats.pids_max.value_or(0);
  json.Key("pids").Object().Field("current", stats.pids_current.value_or(0));
  json.Field("limit", limit == UINT64_MAX ? 0 : limit).End();
}

// Columns of io.stat, "8:0 rbytes=1 wbytes=2 rios=3 wios=4", as the lists of cgroup v1.
struct IoList {
  std::string_view name;
  std::string_view read;
  std::string_view write;
};
constexpr IoList kIoLists[] = {{"ioServiceBytesRecursive", "rbytes", "wbytes"},
                               {"ioServicedRecursive", "rios", "wios"}};

void WriteIoList(JsonWriter& json, const IoList& list, const Lines& lines) {
  json.Key(list.name).Array();
  for (std::string_view line : lines) {
    std::vector<std::string_view> words = Split(line, ' ');
    auto device = SplitFirst(words[0], ':');
    for (std::string_view word : words) {
      auto pair = SplitFirst(word, '=');
      if (!device || !pair || (pair->head != list.read && pair->head != list.write))
        continue;
      json.Object().Key("major").Raw(device->head).Key("minor").Raw(device->tail);
      json.Field("op", pair->head == list.read ? "Read" : "Write").Key("value").Raw(pair->tail);
      json.End();
    }
  }
  json.End();
}

void WriteIo(JsonWriter& json, int dir) {
  Lines lines(dir, "io.stat");
  json.Key("blkio").Object();
  for (const IoList& list : kIoLists)
    WriteIoList(json, list, lines);
  WritePressure(json, dir, "io.pressure");
  json.End();
}

// By size of the pages, "2MB": which sizes there are the files of the cgroup say.
void WriteHugepages(JsonWriter& json, int dir) {
  constexpr std::string_view kPrefix = "hugetlb.";
  constexpr std::string_view kSuffix = ".rsvd.current";
  json.Key("hugetlb").Object();
  if (Result<std::vector<std::string>> files = ListDirFd(dir)) {
    for (const std::string& file : *files) {
      if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix))
        continue;
      std::string size = file.substr(0, file.size() - kSuffix.size());
      json.Key(std::string_view(size).substr(kPrefix.size())).Object();
      json.Field("usage", sys::ReadCgroupNumber(dir, file).value_or(0));
      json.Field("failcnt", sys::ReadCgroupKey(dir, size + ".events", "max").value_or(0)).End();
    }
  }
  json.End();
}

}  // namespace

std::string StatsJson(const std::string& id, const runtime::Cgroup& cgroup) {
  CgroupStats stats = cgroup.Stats();
  int dir = cgroup.fd();
  JsonWriter json;
  json.Object().Field("type", "stats").Field("id", id).Key("data").Object();
  WriteCpu(json, dir, stats);
  WriteMemory(json, dir, stats);
  WritePids(json, stats);
  WriteIo(json, dir);
  WriteHugepages(json, dir);
  json.End().End();
  return json.Take();
}

}  // namespace wherry::oci_runtime
