// pull, push, images, history, rmi, tag.
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/filters.h"
#include "cli/pull.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;

constexpr Option kPull[] = {
    {"plan", 0, kFlag, "", "Show what would be downloaded and written; pull nothing"},
    {"platform", 0, kValue, "OS/ARCH",
     "Another platform than this machine's, for example linux/arm/v7"},
    {"quiet", 'q', kFlag, "", "No progress"},
};
constexpr Option kPush[] = {
    {"all-tags", 'a', kFlag, "", "All tags of the repository"},
    {"quiet", 'q', kFlag, "", "No progress"},
};
constexpr Option kImages[] = {
    {"all", 'a', kFlag, "", "Images without a name too"},
    {"filter", 'f', OptionKind::kList, "KEY=VALUE",
     "Show matching ones: before, since, until, reference, label, dangling"},
    {"format", 0, kValue, "json", "One JSON object per line"},
    {"no-trunc", 0, kFlag, "", "Do not shorten"},
    {"quiet", 'q', kFlag, "", "Only IDs"},
};
constexpr Option kHistory[] = {
    {"format", 0, kValue, "json", "One JSON object per line"},
    {"no-trunc", 0, kFlag, "", "Do not shorten"},
    {"quiet", 'q', kFlag, "", "Only IDs"},
};
constexpr Option kRmi[] = {
    {"force", 'f', kFlag, "", "Remove all names of an image given by its ID"}};

std::string ShortId(std::string_view id, bool whole) {
  if (whole)
    return std::string(id);
  return std::string(id.substr(std::string_view("sha256:").size(), 12));
}

std::vector<std::string> ImageRow(JsonValue image, std::string_view tag, bool whole) {
  auto split = SplitLast(tag, ':');
  int64_t age = UnixNanosNow() - image["Created"].integer() * 1'000'000'000;
  return {std::string(split ? split->head : "<none>"), std::string(split ? split->tail : "<none>"),
          ShortId(image["Id"].str(), whole),
          Cat(HumanDuration(std::chrono::nanoseconds(std::max<int64_t>(age, 0))), " ago"),
          FormatSize(static_cast<uint64_t>(image["Size"].integer()))};
}

// 0: it fits.
Result<int> ShowPlan(const Invocation& call) {
  auto reference = TRY(registry::Reference::Parse(call.word(0)));
  std::vector<http::Header> headers = TRY(AuthHeaders(reference.registry));
  auto answer = TRY(call.client.Open(
      "GET",
      Target("/wherry/v1/pull/plan", {{"fromImage", reference.Canonical()},
                                      {"platform", call.arguments.Value("platform")}}),
      {}, headers));
  std::string text;
  TRY(ForEachLine(*answer, [&](std::string_view line) -> Result<> {
    text += line;
    return {};
  }));
  auto plan = TRY(JsonDocument::Parse(text, "plan"));
  std::vector<std::vector<std::string>> rows{{"LAYER", "SIZE", "STATE"}};
  for (JsonValue layer : plan["Layers"]) {
    rows.push_back({std::string(layer["Id"].str()),
                    FormatSize(static_cast<uint64_t>(layer["Size"].integer())),
                    layer["Here"].boolean() ? "here" : "to download"});
  }
  auto size = [&](std::string_view key) {
    return FormatSize(static_cast<uint64_t>(plan[key].integer()));
  };
  bool fits = plan["Fits"].boolean();
  std::string shown = Cat(FormatTable(rows), "\nDownload: ", size("Download"), "\nWrite: about ",
                          size("Write"), "\nPeak: about ", size("Peak"),
                          "\nFits: ", fits ? "yes" : Cat("no: ", plan["Refusal"].str()), "\n");
  TRY(Print(shown));
  return fits ? 0 : 1;
}

}  // namespace

std::span<const Option> PullOptions() {
  return kPull;
}
std::span<const Option> PushOptions() {
  return kPush;
}
std::span<const Option> ImagesOptions() {
  return kImages;
}
std::span<const Option> HistoryOptions() {
  return kHistory;
}
std::span<const Option> RmiOptions() {
  return kRmi;
}

Result<int> PullCommand(const Invocation& call) {
  if (call.arguments.Flag("plan"))
    return ShowPlan(call);
  TRY(PullImage(call.client, call.word(0),
                {call.arguments.Value("platform"), call.arguments.Flag("quiet"), STDOUT_FILENO}));
  return 0;
}

Result<int> PushCommand(const Invocation& call) {
  TRY(PushImage(call.client, call.word(0),
                {call.arguments.Flag("all-tags"), call.arguments.Flag("quiet"), STDOUT_FILENO}));
  return 0;
}

Result<int> ImagesCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  Query query;
  if (arguments.Flag("all"))
    query.emplace_back("all", "1");
  std::vector<std::string> filters = arguments.List("filter");
  if (!call.words().empty())
    filters.push_back(Cat("reference=", call.word(0)));
  query.emplace_back("filters", TRY(FiltersJson(filters)));
  auto list = TRY(call.client.Get(Target("/images/json", query)));
  bool whole = arguments.Flag("no-trunc");
  std::string text;
  std::vector<std::vector<std::string>> rows{{"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"}};
  for (JsonValue image : list.root()) {
    if (arguments.Value("format") == "json")
      Append(text, image.Dump(), "\n");
    if (arguments.Flag("quiet"))
      Append(text, ShortId(image["Id"].str(), whole), "\n");
    auto tags = image["RepoTags"].strings();
    if (tags.empty())
      rows.push_back(ImageRow(image, {}, whole));
    for (const std::string& tag : tags)
      rows.push_back(ImageRow(image, tag, whole));
  }
  bool table = !arguments.Flag("quiet") && arguments.Value("format") != "json";
  TRY(Print(table ? FormatTable(rows) : text));
  return 0;
}

Result<int> HistoryCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  constexpr size_t kWidth = 45;
  auto list = TRY(call.client.Get(Target(Cat("/images/", Segment(call.word(0)), "/history"))));
  bool whole = arguments.Flag("no-trunc");
  std::string text;
  std::vector<std::vector<std::string>> rows{{"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"}};
  for (JsonValue step : list.root()) {
    std::string_view id = step["Id"].str();
    std::string shown = id.starts_with("sha256:") ? ShortId(id, whole) : std::string(id);
    if (arguments.Value("format") == "json")
      Append(text, step.Dump(), "\n");
    if (arguments.Flag("quiet"))
      Append(text, shown, "\n");
    std::string by(step["CreatedBy"].str());
    if (!whole && by.size() > kWidth)
      by = Cat(by.substr(0, kWidth - 1), "…");
    int64_t age = UnixNanosNow() - step["Created"].integer() * 1'000'000'000;
    rows.push_back({std::move(shown),
                    Cat(HumanDuration(std::chrono::nanoseconds(std::max<int64_t>(age, 0))), " ago"),
                    std::move(by), FormatSize(static_cast<uint64_t>(step["Size"].integer())),
                    std::string(step["Comment"].str())});
  }
  bool table = !arguments.Flag("quiet") && arguments.Value("format") != "json";
  TRY(Print(table ? FormatTable(rows) : text));
  return 0;
}

Result<int> RmiCommand(const Invocation& call) {
  int status = 0;
  for (const std::string& name : call.words()) {
    Query query;
    if (call.arguments.Flag("force"))
      query.emplace_back("force", "1");
    auto removed = call.client.Delete(Target(Cat("/images/", Segment(name)), query));
    if (!removed) {
      status = 1;
      TRY(WriteAll(STDERR_FILENO, Cat("wherry rmi: ", removed.error().message(), "\n"),
                   "standard error"));
      continue;
    }
    std::string done;
    for (JsonValue entry : removed->root()) {
      for (JsonValue field : entry)
        Append(done, field.key(), ": ", field.str(), "\n");
    }
    TRY(Print(done));
  }
  return status;
}

Result<int> TagCommand(const Invocation& call) {
  std::string_view name = call.word(1);
  // The tag is what follows the last colon behind the last slash: a port belongs to the registry.
  size_t slash = name.rfind('/');
  size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  std::string repository(name.substr(0, colon));
  std::string tag(colon == std::string_view::npos ? "" : name.substr(colon + 1));
  TRY(call.client.Post(Target(Cat("/images/", Segment(call.word(0)), "/tag"),
                              {{"repo", repository}, {"tag", tag}})));
  return 0;
}

}  // namespace wherry::cli
