// top, stats, update.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "cli/commands.h"
#include "cli/create_request.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr Option kStats[] = {
    {"all", 'a', OptionKind::kFlag, "", "Containers that do not run too"},
    {"format", 0, OptionKind::kValue, "json", "One JSON object per line, as the daemon gives it"},
    {"no-stream", 0, OptionKind::kFlag, "", "Show one sample and end"},
};

// Back to the first line, and away with what the last table had there.
constexpr std::string_view kClearScreen = "\033[2J\033[H";

uint64_t Count(JsonValue value) {
  return static_cast<uint64_t>(std::max<int64_t>(value.integer(), 0));
}

// What the time between two samples is measured by.
struct CpuTimes {
  uint64_t used = 0;
  uint64_t system = 0;
};

std::string Percent(uint64_t part, uint64_t whole, uint64_t times = 1) {
  uint64_t hundredths =
      whole > 0 ? static_cast<uint64_t>(static_cast<double>(part) / static_cast<double>(whole) *
                                        10'000 * static_cast<double>(times))
                : 0;
  std::string fraction = Cat(hundredths % 100);
  return Cat(hundredths / 100, fraction.size() < 2 ? ".0" : ".", fraction, "%");
}

std::string SumOf(JsonValue entries, std::string_view op) {
  uint64_t sum = 0;
  for (JsonValue entry : entries) {
    if (entry["op"].str() == op)
      sum += Count(entry["value"]);
  }
  return FormatSize(sum);
}

std::vector<std::string> Row(JsonValue stats, const CpuTimes& before, const CpuTimes& now) {
  JsonValue memory = stats["memory_stats"];
  uint64_t inactive = Count(memory["stats"]["inactive_file"]);
  uint64_t used = Count(memory["usage"]);
  used -= std::min(inactive, used);
  uint64_t received = 0;
  uint64_t sent = 0;
  for (JsonValue interface : stats["networks"]) {
    received += Count(interface["rx_bytes"]);
    sent += Count(interface["tx_bytes"]);
  }
  JsonValue io = stats["blkio_stats"]["io_service_bytes_recursive"];
  std::string_view name = stats["name"].str();
  return {std::string(stats["id"].str().substr(0, 12)),
          std::string(name.starts_with('/') ? name.substr(1) : name),
          Percent(now.used - std::min(before.used, now.used),
                  now.system - std::min(before.system, now.system),
                  Count(stats["cpu_stats"]["online_cpus"])),
          Cat(FormatSize(used), " / ", FormatSize(Count(memory["limit"]))),
          Percent(used, Count(memory["limit"])),
          Cat(FormatSize(received), " / ", FormatSize(sent)),
          Cat(SumOf(io, "read"), " / ", SumOf(io, "write")),
          Cat(Count(stats["pids_stats"]["current"]))};
}

class StatsView {
 public:
  explicit StatsView(const Invocation& call) : call_(call) {}

  Result<int> Run() {
    bool once = call_.arguments.Flag("no-stream");
    bool json = call_.arguments.Value("format") == "json";
    bool screen = !once && !json && IsTerminal(STDOUT_FILENO);
    for (bool first = true;; first = false) {
      std::string text = TRY(json ? Lines() : Table());
      if (!first || json)  // shares of the processors need two samples
        TRY(Print(Cat(screen ? kClearScreen : "", text)));
      if (once && (!first || json))
        return 0;
      const struct timespec pause = {1, 0};
      (void)nanosleep(&pause, nullptr);
    }
  }

 private:
  Result<std::vector<std::string>> Names() {
    std::vector<std::string> names(call_.words().begin(), call_.words().end());
    if (!names.empty())
      return names;
    Query query;
    if (call_.arguments.Flag("all"))
      query.emplace_back("all", "1");
    auto list = TRY(call_.client.Get(Target("/containers/json", query)));
    for (JsonValue container : list.root())
      names.emplace_back(container["Id"].str());
    return names;
  }

  Result<std::vector<JsonDocument>> Samples() {
    std::vector<JsonDocument> samples;
    for (const std::string& name : TRY(Names())) {
      auto stats = call_.client.Get(Target(Cat("/containers/", Segment(name), "/stats"),
                                           {{"stream", "0"}, {"one-shot", "1"}}));
      bool gone = !stats && stats.error().code() == Errc::kNotFound && call_.words().empty();
      if (gone)
        continue;  // since it was listed
      samples.push_back(TRY(std::move(stats)));
    }
    return samples;
  }

  Result<std::string> Lines() {
    std::string text;
    for (const JsonDocument& stats : TRY(Samples()))
      Append(text, stats.root().Dump(), "\n");
    return text;
  }

  Result<std::string> Table() {
    std::vector<std::vector<std::string>> rows{{"CONTAINER ID", "NAME", "CPU %",
                                                "MEM USAGE / LIMIT", "MEM %", "NET I/O",
                                                "BLOCK I/O", "PIDS"}};
    for (const JsonDocument& stats : TRY(Samples())) {
      JsonValue cpu = stats["cpu_stats"];
      CpuTimes now{Count(cpu["cpu_usage"]["total_usage"]), Count(cpu["system_cpu_usage"])};
      CpuTimes& before = before_[std::string(stats["id"].str())];
      rows.push_back(Row(stats.root(), before, now));
      before = now;
    }
    return FormatTable(rows);
  }

  const Invocation& call_;
  std::map<std::string, CpuTimes> before_;
};

}  // namespace

std::span<const Option> StatsOptions() {
  return kStats;
}
std::span<const Option> UpdateOptions() {
  return UpdateRequestOptions();
}

Result<int> TopCommand(const Invocation& call) {
  std::string arguments = Join(call.words().subspan(1), " ");
  auto table = TRY(call.client.Get(
      Target(Cat("/containers/", Segment(call.word(0)), "/top"), {{"ps_args", arguments}})));
  std::vector<std::vector<std::string>> rows{table["Titles"].strings()};
  for (JsonValue row : table["Processes"])
    rows.push_back(row.strings());
  TRY(Print(FormatTable(rows)));
  return 0;
}

Result<int> StatsCommand(const Invocation& call) {
  return StatsView(call).Run();
}

Result<int> UpdateCommand(const Invocation& call) {
  std::string body = TRY(UpdateBody(call.arguments));
  if (body == "{}")
    return Fail(Errc::kInvalid, "nothing to change: give limits or a restart policy");
  return ForEachWord(call, [&](const std::string& name) -> Result<> {
    TRY(call.client.Post(Target(Cat("/containers/", Segment(name), "/update")), body));
    return {};
  });
}

}  // namespace wherry::cli
