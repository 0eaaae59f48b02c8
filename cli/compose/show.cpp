#include "cli/compose/show.h"

#include <unistd.h>

#include "cli/compose/containers.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "engine/compose/body.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;

constexpr Option kPs[] = {
    {"all", 'a', kFlag, "", "Show ended containers too"},
    {"quiet", 'q', kFlag, "", "Only IDs"},
    {"services", 0, kFlag, "", "Only the services' names"},
};
constexpr Option kConfig[] = {
    {"hash", 0, OptionKind::kValue, "SERVICE|*", "What tells that a service has changed"},
    {"images", 0, kFlag, "", "Only the images' names"},
    {"quiet", 'q', kFlag, "", "Only check"},
    {"services", 0, kFlag, "", "Only the services' names"},
    {"volumes", 0, kFlag, "", "Only the volumes' names"},
};

// So that what is printed means the same when it is read as a compose file.
void EscapeVariables(compose::Node& node) {
  for (size_t at = 0; (at = node.text.find('$', at)) != std::string::npos; at += 2)
    node.text.insert(at, 1, '$');
  for (compose::Node& item : node.items)
    EscapeVariables(item);
}

// What one of the short forms of `config` prints; nothing: the whole file.
Result<std::optional<std::string>> ShortConfig(const ComposeCall& call) {
  const Arguments& arguments = call.arguments;
  const compose::Group& group = call.project.group;
  std::string text;
  std::string hash = arguments.Value("hash");
  if (arguments.Flag("services") || arguments.Flag("images") || !hash.empty()) {
    std::vector<std::string> names = call.words();
    if (!hash.empty() && hash != "*")
      names.push_back(hash);
    for (const compose::Service* service :
         TRY(ServicesOf(call, names, compose::Dependencies::kLeaveOut))) {
      if (!hash.empty()) {
        Append(text, service->name, " ", ConfigHash(group, *service), "\n");
      } else {
        Append(text, arguments.Flag("images") ? service->image : service->name, "\n");
      }
    }
    return text;
  }
  if (arguments.Flag("volumes")) {
    for (const compose::Volume& volume : group.volumes)
      Append(text, volume.key, "\n");
    return text;
  }
  if (arguments.Flag("quiet"))
    return text;
  return std::nullopt;
}

}  // namespace

std::span<const Option> ComposePsOptions() {
  return kPs;
}
std::span<const Option> ComposeConfigOptions() {
  return kConfig;
}

Result<int> ComposePs(const ComposeCall& call) {
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kInclude));
  std::vector<std::vector<std::string>> rows{
      {"NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"}};
  std::string text;
  bool services = call.arguments.Flag("services");
  for (const GroupContainer& one : ContainersOf(all, call.words())) {
    bool shown = call.arguments.Flag("all") || one.state == "running" || one.state == "paused" ||
                 one.state == "restarting";
    if (!shown || (one.one_off && !call.arguments.Flag("all")))
      continue;
    Append(text, services ? one.service : one.id, "\n");
    rows.push_back(
        {one.name, one.row[1], one.row[2], one.service, one.row[3], one.row[4], one.row[5]});
  }
  TRY(Print(call.arguments.Flag("quiet") || services ? text : FormatTable(rows)));
  return 0;
}

Result<int> ComposeTop(const ComposeCall& call) {
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  for (const GroupContainer& one : ContainersOf(all, call.words())) {
    if (one.state != "running")
      continue;
    auto top = TRY(call.client.Get(Target(Cat("/containers/", Segment(one.id), "/top"))));
    std::vector<std::vector<std::string>> rows{top["Titles"].strings()};
    for (JsonValue process : top["Processes"])
      rows.push_back(process.strings());
    TRY(Print(Cat(one.name, "\n", FormatTable(rows), "\n")));
  }
  return 0;
}

Result<int> ComposeConfig(const ComposeCall& call) {
  auto text = TRY(ShortConfig(call));
  if (text) {
    TRY(Print(*text));
    return 0;
  }
  compose::Node tree = call.project.tree;
  tree.Remove("version");
  EscapeVariables(tree);
  compose::Node name;
  name.kind = compose::Node::Kind::kScalar;
  name.text = call.project.group.name;
  name.quoted = true;
  tree.Set("name", std::move(name));
  TRY(Print(WriteYaml(tree)));
  return 0;
}

}  // namespace wherry::cli
