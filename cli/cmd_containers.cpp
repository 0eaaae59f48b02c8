// stop, kill, rm, wait, ps, logs.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/filters.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kStop[] = {
    {"signal", 's', kValue, "SIGNAL", "Signal to send first"},
    {"time", 0, kValue, "SECONDS", "Former name of --timeout"},
    {"timeout", 't', kValue, "SECONDS", "Wait so long before killing"},
};
constexpr Option kKill[] = {{"signal", 's', kValue, "SIGNAL", "Signal to send, KILL by default"}};
constexpr Option kRm[] = {
    {"force", 'f', kFlag, "", "Kill a running container first"},
    {"volumes", 'v', kFlag, "", "Remove its anonymous volumes too"},
};
constexpr Option kPs[] = {
    {"all", 'a', kFlag, "", "Show ended containers too"},
    {"filter", 'f', kList, "KEY=VALUE",
     "Show matching ones: id, name, label, status, health, exited, ancestor"},
    {"format", 0, kValue, "json", "One JSON object per line"},
    {"last", 'n', kValue, "NUMBER", "Show the last created ones, whatever their state"},
    {"no-trunc", 0, kFlag, "", "Do not shorten"},
    {"quiet", 'q', kFlag, "", "Only IDs"},
};
constexpr Option kLogs[] = {
    {"follow", 'f', kFlag, "", "Go on while the container runs"},
    {"since", 0, kValue, "TIME", "From this time on: RFC 3339, unix seconds, or an age such as 5m"},
    {"tail", 'n', kValue, "NUMBER", "Only the last lines"},
    {"timestamps", 't', kFlag, "", "Show the time of each line"},
    {"until", 0, kValue, "TIME", "Up to this time"},
};

std::string Path(std::string_view id, std::string_view action) {
  return Cat("/containers/", Segment(id), action);
}

std::string Ports(JsonValue container) {
  std::string text;
  for (JsonValue port : container["Ports"]) {
    if (!text.empty())
      text += ", ";
    if (port["PublicPort"].integer() != 0) {
      Append(text, port["IP"].str(), ":", port["PublicPort"].integer(), "->");
    }
    Append(text, port["PrivatePort"].integer(), "/", port["Type"].str());
  }
  return text;
}

std::string Quoted(std::string_view command, bool whole) {
  constexpr size_t kWidth = 20;
  if (!whole && command.size() > kWidth)
    return Cat("\"", command.substr(0, kWidth - 1), "…\"");
  return Cat("\"", command, "\"");
}

constexpr Option kPrune[] = {
    {"filter", 0, OptionKind::kList, "KEY=VALUE", "Only these: until, label, label!"},
    {"force", 'f', kFlag, "", "Do not ask"},
};

std::string StopTimeout(const Arguments& arguments) {
  return arguments.Value("timeout", arguments.Value("time"));
}

}  // namespace

std::vector<std::string> PsRow(JsonValue container, bool whole) {
  std::string names;
  for (const std::string& name : container["Names"].strings()) {
    Append(names, names.empty() ? "" : ",", name.starts_with('/') ? name.substr(1) : name);
  }
  int64_t age = UnixNanosNow() - container["Created"].integer() * 1'000'000'000;
  return {std::string(container["Id"].str().substr(0, whole ? 64 : 12)),
          std::string(container["Image"].str()),
          Quoted(container["Command"].str(), whole),
          Cat(HumanDuration(std::chrono::nanoseconds(std::max<int64_t>(age, 0))), " ago"),
          std::string(container["Status"].str()),
          Ports(container),
          names};
}

std::span<const Option> ContainerPruneOptions() {
  return kPrune;
}
std::span<const Option> StopOptions() {
  return kStop;
}
std::span<const Option> KillOptions() {
  return kKill;
}
std::span<const Option> RmOptions() {
  return kRm;
}
std::span<const Option> PsOptions() {
  return kPs;
}
std::span<const Option> LogsOptions() {
  return kLogs;
}

Result<int> StopCommand(const Invocation& call) {
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    auto done =
        call.client.Post(Target(Path(id, "/stop"), {{"t", StopTimeout(call.arguments)},
                                                    {"signal", call.arguments.Value("signal")}}));
    if (!done && done.error().code() != Errc::kNotModified)
      return std::unexpected(std::move(done).error());
    return {};
  });
}

Result<int> KillCommand(const Invocation& call) {
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    TRY(call.client.Post(Target(Path(id, "/kill"), {{"signal", call.arguments.Value("signal")}})));
    return {};
  });
}

Result<int> RestartCommand(const Invocation& call) {
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    TRY(call.client.Post(
        Target(Path(id, "/restart"),
               {{"t", StopTimeout(call.arguments)}, {"signal", call.arguments.Value("signal")}})));
    return {};
  });
}

Result<int> PauseCommand(const Invocation& call) {
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    TRY(call.client.Post(Target(Path(id, "/pause"))));
    return {};
  });
}

Result<int> UnpauseCommand(const Invocation& call) {
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    TRY(call.client.Post(Target(Path(id, "/unpause"))));
    return {};
  });
}

Result<int> RenameCommand(const Invocation& call) {
  TRY(call.client.Post(Target(Path(call.word(0), "/rename"), {{"name", call.word(1)}})));
  return 0;
}

Result<int> RmCommand(const Invocation& call) {
  Query query;
  if (call.arguments.Flag("force"))
    query.emplace_back("force", "1");
  if (call.arguments.Flag("volumes"))
    query.emplace_back("v", "1");
  return ForEachWord(call, [&](const std::string& id) -> Result<> {
    TRY(call.client.Delete(Target(Path(id, ""), query)));
    return {};
  });
}

Result<int> ContainerPruneCommand(const Invocation& call) {
  bool sure = TRY(Confirmed(call, "containers that do not run"));
  if (!sure)
    return 0;
  std::string filters = TRY(FiltersJson(call.arguments.List("filter")));
  auto pruned = TRY(call.client.Post(Target("/containers/prune", {{"filters", filters}})));
  std::string text;
  for (const std::string& id : pruned["ContainersDeleted"].strings())
    Append(text, id, "\n");
  auto freed = static_cast<uint64_t>(pruned["SpaceReclaimed"].integer());
  TRY(Print(Cat(text.empty() ? "" : "Deleted Containers:\n", text, text.empty() ? "" : "\n",
                "Total reclaimed space: ", FormatSize(freed), "\n")));
  return 0;
}

Result<int> WaitCommand(const Invocation& call) {
  for (const std::string& id : call.words()) {
    auto ended = TRY(call.client.Post(Target(Path(id, "/wait"))));
    TRY(Print(Cat(ended["StatusCode"].integer(), "\n")));
  }
  return 0;
}

Result<int> PsCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string filters = TRY(FiltersJson(arguments.List("filter")));
  Query query{{"filters", filters}, {"limit", arguments.Value("last")}};
  if (arguments.Flag("all") || arguments.Has("last"))
    query.emplace_back("all", "1");
  auto list = TRY(call.client.Get(Target("/containers/json", query)));
  bool whole = arguments.Flag("no-trunc");
  std::string text;
  std::vector<std::vector<std::string>> rows{
      {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"}};
  for (JsonValue container : list.root()) {
    if (arguments.Value("format") == "json")
      Append(text, container.Dump(), "\n");
    if (arguments.Flag("quiet"))
      Append(text, container["Id"].str().substr(0, whole ? 64 : 12), "\n");
    rows.push_back(PsRow(container, whole));
  }
  bool table = !arguments.Flag("quiet") && arguments.Value("format") != "json";
  TRY(Print(table ? FormatTable(rows) : text));
  return 0;
}

Result<int> LogsCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  const std::string& id = call.word(0);
  auto container = TRY(call.client.Get(Target(Path(id, "/json"))));
  Query query{{"stdout", "1"},
              {"stderr", "1"},
              {"since", arguments.Value("since")},
              {"until", arguments.Value("until")},
              {"tail", arguments.Value("tail")}};
  if (arguments.Flag("follow"))
    query.emplace_back("follow", "1");
  if (arguments.Flag("timestamps"))
    query.emplace_back("timestamps", "1");
  auto source = TRY(call.client.Open("GET", Target(Path(id, "/logs"), query)));
  TRY(CopyOutput(*source,
                 container["Config"]["Tty"].boolean() ? Framing::kRaw : Framing::kMultiplexed));
  return 0;
}

}  // namespace wherry::cli
