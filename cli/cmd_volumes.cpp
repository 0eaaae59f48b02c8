// volume create, ls, rm, prune.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/create_rows.h"
#include "cli/filters.h"
#include "cli/table.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kCreate[] = {
    {"label", 0, kList, "NAME[=VALUE]", "Label of the volume"},
};
constexpr Option kLs[] = {
    {"filter", 'f', kList, "KEY=VALUE", "Only these: name, label, dangling, driver"},
    {"format", 0, OptionKind::kValue, "json", "One JSON object per line"},
    {"quiet", 'q', kFlag, "", "Only names"},
};
constexpr Option kRm[] = {
    {"force", 'f', kFlag, "", "No error for a volume that does not exist"},
};
constexpr Option kPrune[] = {
    {"all", 'a', kFlag, "", "Volumes with a name too that no container uses"},
    {"filter", 0, kList, "KEY=VALUE", "Only these: label, label!"},
    {"force", 'f', kFlag, "", "Do not ask"},
};

std::string Path(std::string_view name) {
  return Cat("/volumes/", Segment(name));
}

}  // namespace

std::span<const Option> VolumeCreateOptions() {
  return kCreate;
}
std::span<const Option> VolumeLsOptions() {
  return kLs;
}
std::span<const Option> VolumeRmOptions() {
  return kRm;
}
std::span<const Option> VolumePruneOptions() {
  return kPrune;
}

Result<int> VolumeCreateCommand(const Invocation& call) {
  JsonWriter body;
  body.Object().Field("Name", call.words().empty() ? "" : call.word(0)).Key("Labels");
  TRY(WriteNameValues(body, call.arguments.List("label")));
  body.End();
  auto volume = TRY(call.client.Post(Target("/volumes/create"), body.text()));
  TRY(Print(Cat(volume["Name"].str(), "\n")));
  return 0;
}

Result<int> VolumeLsCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  std::string filters = TRY(FiltersJson(arguments.List("filter")));
  auto answer = TRY(call.client.Get(Target("/volumes", {{"filters", filters}})));
  std::string text;
  std::vector<std::vector<std::string>> rows{{"DRIVER", "VOLUME NAME"}};
  for (JsonValue volume : answer["Volumes"]) {
    if (arguments.Value("format") == "json")
      Append(text, volume.Dump(), "\n");
    if (arguments.Flag("quiet"))
      Append(text, volume["Name"].str(), "\n");
    rows.push_back({std::string(volume["Driver"].str()), std::string(volume["Name"].str())});
  }
  bool table = !arguments.Flag("quiet") && arguments.Value("format") != "json";
  TRY(Print(table ? FormatTable(rows) : text));
  return 0;
}

Result<int> VolumeRmCommand(const Invocation& call) {
  Query query;
  if (call.arguments.Flag("force"))
    query.emplace_back("force", "1");
  return ForEachWord(call, [&](const std::string& name) -> Result<> {
    TRY(call.client.Delete(Target(Path(name), query)));
    return {};
  });
}

Result<int> VolumePruneCommand(const Invocation& call) {
  bool all = call.arguments.Flag("all");
  std::vector<std::string> words = call.arguments.List("filter");
  if (all)
    words.emplace_back("all=1");
  bool sure = TRY(Confirmed(call, all ? "volumes without a container"
                                      : "volumes without a name and without a container"));
  if (!sure)
    return 0;
  std::string filters = TRY(FiltersJson(words));
  auto pruned = TRY(call.client.Post(Target("/volumes/prune", {{"filters", filters}})));
  std::string text;
  for (const std::string& name : pruned["VolumesDeleted"].strings())
    Append(text, name, "\n");
  auto freed = static_cast<uint64_t>(pruned["SpaceReclaimed"].integer());
  TRY(Print(Cat(text.empty() ? "" : "Deleted Volumes:\n", text, text.empty() ? "" : "\n",
                "Total reclaimed space: ", FormatSize(freed), "\n")));
  return 0;
}

}  // namespace wherry::cli
