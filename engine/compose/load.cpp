#include "engine/compose/load.h"

#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "engine/compose/merge.h"
#include "engine/compose/resources.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

constexpr size_t kMaxServices = 500;

// Replaces the variables of all values; keys stay.
class TreeInterpolator {
 public:
  TreeInterpolator(const Environment& environment, Report& report,
                   std::vector<std::string>& warnings)
      : environment_(environment), report_(report), warnings_(warnings) {}

  void Run(Node& node, const std::string& path) {
    if (node.IsScalar() && node.text.find('$') != std::string::npos)
      Replace(node, path);
    for (size_t i = 0; i < node.items.size(); ++i) {
      std::string below = node.IsMap()
                              ? (path.empty() ? node.keys[i] : Cat(path, ".", node.keys[i]))
                              : Cat(path, "[", i, "]");
      if (!IsExtension(below))
        Run(node.items[i], below);
    }
  }

 private:
  void Replace(Node& node, const std::string& path) {
    std::vector<std::string> unset;
    auto text = Interpolate(node.text, environment_, unset);
    if (!text)
      return report_.Add(node, path, Cat("cannot be read: ", text.error().message()));
    for (const std::string& name : unset) {
      if (warned_.insert(name).second)
        warnings_.push_back(
            Cat(report_.Place(node), ": the variable ", name, " is not set; it is taken as empty"));
    }
    bytes_ += text->size();
    if (bytes_ > kMaxTextBytes) {
      node.text.clear();
      return report_.Add(node, path, "and its variables make the file longer than 4 MiB");
    }
    node.text = *std::move(text);
  }

  const Environment& environment_;
  Report& report_;
  std::vector<std::string>& warnings_;
  std::set<std::string> warned_;
  size_t bytes_ = 0;
};

// The last file that has a name for the group tells it.
std::string NameInFiles(const std::vector<Node>& trees, const Environment& environment,
                        Report& report) {
  std::string name;
  for (const Node& tree : trees) {
    const Node* node = tree.Find("name");
    if (node == nullptr || !node->IsScalar())
      continue;
    std::vector<std::string> unset;
    auto text = Interpolate(node->text, environment, unset);
    name = text ? *text : std::string();
    if (name.empty() || GroupName(name) != name)
      report.Add(*node, "name", "must have lower case letters, digits, - and _ only");
  }
  return name;
}

struct TopContext {
  Group& group;
  const ServiceContext& services;
};

void ReadServices(const Value& value, TopContext& top) {
  if (!value.ExpectMap())
    return;
  if (value.size() > kMaxServices)
    return value.Bad("has more than 500 services");
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string& name = value.Key(i);
    bool good = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    });
    if (!good)
      value.Member(i).Bad("has a name with other characters than letters, digits, . - and _");
    top.group.services.push_back(ReadService(value.Member(i), name, top.services));
  }
}

constexpr KeyRow<TopContext> kTopKeys[] = {
    {"name", [](const Value& v, TopContext&) { (void)v.Text(); }},
    {"networks", [](const Value& v, TopContext& top) { ReadTopNetworks(v, top.group); }},
    {"services", ReadServices},
    {"version", [](const Value&, TopContext&) {}},
    {"volumes", [](const Value& v, TopContext& top) { ReadTopVolumes(v, top.group); }},
};

// What a service gets when it does not say it, and what must be there for it.
void Complete(Group& group, Service& service, Report& report) {
  if (service.image.empty())
    service.image = Cat(group.name, "-", service.name);
  if (service.pull_policy.empty())
    service.pull_policy = "missing";
  if (service.network_mode.empty() && service.networks.empty()) {
    NetworkUse use;
    use.network = "default";
    service.networks.push_back(std::move(use));
  }
  if (!service.mac_address.empty() && !service.networks.empty())
    service.networks[0].mac_address = service.mac_address;
  for (const NetworkUse& use : service.networks) {
    if (group.FindNetwork(use.network) != nullptr)
      continue;
    if (use.network == "default") {
      Network network;
      network.key = "default";
      network.name = Cat(group.name, "_default");
      group.networks.push_back(std::move(network));
    } else {
      report.Add(Cat("service ", service.name, " is in the network ", use.network,
                     ", which is not among the networks of the file"));
    }
  }
  for (const Mount& mount : service.mounts) {
    if (mount.type == Mount::Type::kVolume && !mount.source.empty() &&
        group.FindVolume(mount.source) == nullptr) {
      report.Add(Cat("service ", service.name, " uses the volume ", mount.source,
                     ", which is not among the volumes of the file"));
    }
  }
}

Result<Node> ParseAll(const Sources& sources, Environment& environment, std::string& name,
                      Report& report, std::vector<std::string>& warnings) {
  std::vector<Node> trees;
  for (size_t i = 0; i < sources.files.size(); ++i) {
    const SourceFile& file = sources.files[i];
    Node tree = TRY(ParseYaml(file.text, file.name, static_cast<uint16_t>(i)));
    if (!tree.IsMap())
      return Fail(Errc::kInvalid, Cat(file.name, ":", tree.line, ": the file must be a map"));
    trees.push_back(std::move(tree));
  }
  if (trees.empty())
    return Fail(Errc::kInvalid, "no compose file was given");
  name = sources.name;
  if (name.empty())
    name = NameInFiles(trees, environment, report);
  if (name.empty()) {
    auto parts = SplitLast(sources.directory, '/');
    name = GroupName(parts ? parts->tail : std::string_view(sources.directory));
  }
  if (name.empty())
    return Fail(Errc::kInvalid, "the project has no name; give one with --project-name");
  environment["COMPOSE_PROJECT_NAME"] = name;
  TreeInterpolator interpolator(environment, report, warnings);
  for (Node& tree : trees)
    interpolator.Run(tree, "");
  Node all = std::move(trees[0]);
  for (size_t i = 1; i < trees.size(); ++i)
    MergeFile(all, std::move(trees[i]));
  DropResets(all);
  return all;
}

}  // namespace

std::string GroupName(std::string_view text) {
  std::string name;
  for (char c : ToLower(text)) {
    bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (word || (!name.empty() && (c == '_' || c == '-')))
      name += c;
  }
  return name;
}

Result<Loaded> Load(const Sources& sources) {
  std::vector<std::string> names;
  Loaded loaded;
  Group& group = loaded.group;
  for (const SourceFile& file : sources.files) {
    names.push_back(file.name);
    group.files.push_back(file.path);
  }
  Report report(std::move(names));
  Environment environment = sources.environment;
  loaded.tree = TRY(ParseAll(sources, environment, group.name, report, loaded.warnings));
  TRY(report.Finish());
  group.directory = sources.directory;
  auto home = environment.find("HOME");
  ServiceContext services{{sources.directory, home == environment.end() ? "" : home->second},
                          environment,
                          sources.read_file};
  TopContext top{group, services};
  ReadKeys<TopContext>(Value(loaded.tree, report), kTopKeys, top);
  for (Service& service : group.services)
    Complete(group, service, report);
  TRY(report.Finish());
  TRY(CheckCycles(group));
  return loaded;
}

}  // namespace wherry::compose
