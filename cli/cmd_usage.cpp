// system df, image prune, system prune.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/filters.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr size_t kShort = 12;

constexpr Option kDf[] = {
    {"format", 0, OptionKind::kValue, "json", "The whole answer as JSON"},
    {"verbose", 'v', kFlag, "", "One row per image and container"},
};
constexpr Option kPrune[] = {
    {"all", 'a', kFlag, "", "Images with a name too that no container uses"},
    {"filter", 0, OptionKind::kList, "KEY=VALUE", "Only these: until, label, label!, dangling"},
    {"force", 'f', kFlag, "", "Do not ask"},
};
constexpr Option kSystemPrune[] = {
    {"all", 'a', kFlag, "", "Images with a name too that no container uses"},
    {"filter", 0, OptionKind::kList, "KEY=VALUE", "Only these: until, label, label!"},
    {"force", 'f', kFlag, "", "Do not ask"},
    {"volumes", 0, kFlag, "", "Volumes without a name too"},
};

// What `system prune` does, in this order: what a container used is free once that is gone.
struct Part {
  std::string_view if_asked;  // by this option, or always
  bool takes_all;
  std::span<const Option> (*options)();
  Result<int> (*run)(const Invocation&);
};
constexpr Part kParts[] = {
    {"", false, ContainerPruneOptions, ContainerPruneCommand},
    {"", false, NetworkPruneOptions, NetworkPruneCommand},
    {"volumes", false, VolumePruneOptions, VolumePruneCommand},
    {"", true, ImagePruneOptions, ImagePruneCommand},
};

uint64_t Bytes(JsonValue value) {
  return static_cast<uint64_t>(std::max<int64_t>(value.integer(), 0));
}

std::string Share(uint64_t part, uint64_t whole) {
  return Cat(FormatSize(part), whole == 0 ? "" : Cat(" (", part * 100 / whole, "%)"));
}

std::string Ago(JsonValue created) {
  int64_t age = UnixNanosNow() - created.integer() * 1'000'000'000;
  return Cat(HumanDuration(std::chrono::nanoseconds(std::max<int64_t>(age, 0))), " ago");
}

// Reclaimable, as docker counts: all but what images in use have to themselves.
std::string Totals(JsonValue usage) {
  uint64_t total = Bytes(usage["LayersSize"]), needed = 0, images = 0, used = 0;
  for (JsonValue image : usage["Images"]) {
    ++images;
    if (image["Containers"].integer() <= 0)
      continue;
    ++used;
    needed += Bytes(image["Size"]) - Bytes(image["SharedSize"]);
  }
  uint64_t containers = 0, running = 0, written = 0, idle = 0;
  for (JsonValue container : usage["Containers"]) {
    ++containers;
    bool runs = container["State"].str() == "running" || container["State"].str() == "paused";
    running += runs ? 1 : 0;
    written += Bytes(container["SizeRw"]);
    idle += runs ? 0 : Bytes(container["SizeRw"]);
  }
  return FormatTable(
      {{"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"},
       {"Images", Cat(images), Cat(used), FormatSize(total),
        Share(total - std::min(total, needed), total)},
       {"Containers", Cat(containers), Cat(running), FormatSize(written), Share(idle, written)}});
}

std::string Rows(JsonValue usage) {
  std::vector<std::vector<std::string>> images{{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE",
                                                "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"}};
  for (JsonValue image : usage["Images"]) {
    auto tags = image["RepoTags"].strings();
    auto split = tags.empty() ? std::nullopt : SplitLast(tags[0], ':');
    uint64_t size = Bytes(image["Size"]), shared = Bytes(image["SharedSize"]);
    images.push_back(
        {std::string(split ? split->head : "<none>"), std::string(split ? split->tail : "<none>"),
         std::string(image["Id"].str().substr(7, kShort)), Ago(image["Created"]), FormatSize(size),
         FormatSize(shared), FormatSize(size - shared), Cat(image["Containers"].integer())});
  }
  std::vector<std::vector<std::string>> containers{
      {"CONTAINER ID", "IMAGE", "COMMAND", "SIZE", "CREATED", "STATUS", "NAMES"}};
  for (JsonValue container : usage["Containers"]) {
    auto names = container["Names"].strings();
    containers.push_back({std::string(container["Id"].str().substr(0, kShort)),
                          std::string(container["Image"].str()),
                          std::string(container["Command"].str()),
                          FormatSize(Bytes(container["SizeRw"])), Ago(container["Created"]),
                          std::string(container["Status"].str()),
                          names.empty() ? std::string() : names[0].substr(1)});
  }
  return Cat("Images space usage:\n\n", FormatTable(images), "\nContainers space usage:\n\n",
             FormatTable(containers));
}

}  // namespace

std::span<const Option> SystemDfOptions() {
  return kDf;
}
std::span<const Option> ImagePruneOptions() {
  return kPrune;
}
std::span<const Option> SystemPruneOptions() {
  return kSystemPrune;
}

Result<int> SystemDfCommand(const Invocation& call) {
  auto usage = TRY(call.client.Get(Target("/system/df")));
  if (call.arguments.Value("format") == "json")
    TRY(Print(Cat(usage.root().Dump(), "\n")));
  else
    TRY(Print(call.arguments.Flag("verbose") ? Rows(usage.root()) : Totals(usage.root())));
  return 0;
}

Result<int> ImagePruneCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::vector<std::string> filters = arguments.List("filter");
  if (arguments.Flag("all"))
    filters.emplace_back("dangling=false");
  bool sure = TRY(Confirmed(
      call, arguments.Flag("all") ? "images without a container" : "images without a name"));
  if (!sure)
    return 0;
  std::string encoded = TRY(FiltersJson(filters));
  Query query{{"filters", encoded}};
  auto pruned = TRY(call.client.Post(Target("/images/prune", query)));
  std::string text;
  for (JsonValue entry : pruned["ImagesDeleted"]) {
    for (JsonValue field : entry)
      Append(text, ToLower(field.key()), ": ", field.str(), "\n");
  }
  Append(text, text.empty() ? "" : "\n",
         "Total reclaimed space: ", FormatSize(Bytes(pruned["SpaceReclaimed"])), "\n");
  TRY(Print(text.starts_with("Total") ? text : Cat("Deleted Images:\n", text)));
  return 0;
}

Result<int> SystemPruneCommand(const Invocation& call) {
  bool sure =
      TRY(Confirmed(call, "containers that do not run, and networks and images that nothing uses"));
  if (!sure)
    return 0;
  int status = 0;
  for (const Part& part : kParts) {
    if (!part.if_asked.empty() && !call.arguments.Flag(part.if_asked))
      continue;
    std::vector<std::string> words{"--force"};
    if (part.takes_all && call.arguments.Flag("all"))
      words.emplace_back("--all");
    for (const std::string& filter : call.arguments.List("filter"))
      words.push_back(Cat("--filter=", filter));
    auto arguments = TRY(ParseArguments(part.options(), words, Positional::kMixed));
    int ended = TRY(part.run({call.client, arguments, call.config_file}));
    status = std::max(status, ended);
  }
  return status;
}

}  // namespace wherry::cli
