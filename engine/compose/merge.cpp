#include "engine/compose/merge.h"

#include <algorithm>

#include "core/base/text.h"
#include "engine/compose/volumes.h"

namespace wherry::compose {

namespace {

enum class Rule : uint8_t {
  kReplace,   // the later one
  kPairs,     // maps, or lists of NAME=VALUE: by name
  kNames,     // maps, or lists of names
  kTargets,   // lists, by the path in the container
  kContext,   // a map, or a string that is its `context`
  kOneOrMore  // lists, or one of its strings alone
};

struct RuleRow {
  std::string_view path;  // below a service
  Rule rule;
};

// Where lists and maps are not just appended and merged.
constexpr RuleRow kRules[] = {
    {"annotations", Rule::kPairs},    {"build", Rule::kContext},
    {"build.args", Rule::kPairs},     {"build.labels", Rule::kPairs},
    {"command", Rule::kReplace},      {"depends_on", Rule::kNames},
    {"devices", Rule::kTargets},      {"dns", Rule::kOneOrMore},
    {"dns_search", Rule::kOneOrMore}, {"entrypoint", Rule::kReplace},
    {"env_file", Rule::kOneOrMore},   {"environment", Rule::kPairs},
    {"extra_hosts", Rule::kPairs},    {"healthcheck.test", Rule::kReplace},
    {"labels", Rule::kPairs},         {"logging.options", Rule::kPairs},
    {"networks", Rule::kNames},       {"sysctls", Rule::kPairs},
    {"tmpfs", Rule::kOneOrMore},      {"volumes", Rule::kTargets},
};

const Rule* FindRule(std::string_view path) {
  for (const RuleRow& row : kRules) {
    if (row.path == path)
      return &row.rule;
  }
  return nullptr;
}

// A list as the map that it means.
void ToMap(Node& node, Rule rule) {
  if (!node.IsList())
    return;
  Node map;
  map.kind = Node::Kind::kMap;
  map.file = node.file;
  map.line = node.line;
  map.tag = node.tag;
  for (Node& item : node.items) {
    if (!item.IsScalar())
      return;  // the reader of the key tells what is wrong
    size_t end =
        rule == Rule::kPairs ? std::min(item.text.find('='), item.text.size()) : item.text.size();
    Node value;
    value.file = item.file;
    value.line = item.line;
    if (end < item.text.size()) {
      value.kind = Node::Kind::kScalar;
      value.quoted = true;
      value.text = item.text.substr(end + 1);
    }
    map.Set(item.text.substr(0, end), std::move(value));
  }
  node = std::move(map);
}

// A string as the list or map that it means.
void ToContainer(Node& node, Rule rule) {
  if (!node.IsScalar())
    return;
  Node outer;
  outer.file = node.file;
  outer.line = node.line;
  outer.tag = node.tag;
  if (rule == Rule::kContext) {
    outer.kind = Node::Kind::kMap;
    outer.Set("context", std::move(node));
  } else {
    outer.kind = Node::Kind::kList;
    outer.items.push_back(std::move(node));
  }
  node = std::move(outer);
}

void Normalise(Node& node, Rule rule) {
  if (rule == Rule::kPairs || rule == Rule::kNames)
    ToMap(node, rule);
  if (rule == Rule::kContext || rule == Rule::kOneOrMore)
    ToContainer(node, rule);
}

bool SameItem(const Node& a, const Node& b, bool by_target) {
  if (by_target) {
    std::string target = TargetOf(a);
    return !target.empty() && target == TargetOf(b);
  }
  return a.IsScalar() && b.IsScalar() && a.text == b.text;
}

void MergeLists(Node& base, Node over, bool by_target) {
  for (Node& item : over.items) {
    auto same = std::ranges::find_if(
        base.items, [&](const Node& one) { return SameItem(one, item, by_target); });
    if (same == base.items.end()) {
      base.items.push_back(std::move(item));
    } else {
      *same = std::move(item);
    }
  }
}

// `path`: below a service, or "*" and what is elsewhere.
void Merge(Node& base, Node over, const std::string& path);

std::string PathBelow(const std::string& path, std::string_view key) {
  if (path == "services.*")
    return std::string(key);
  return path == "services" ? "services.*" : path.empty() ? std::string(key) : Cat(path, ".", key);
}

void MergeMaps(Node& base, Node over, const std::string& path) {
  for (size_t i = 0; i < over.keys.size(); ++i) {
    const std::string& key = over.keys[i];
    Node& value = over.items[i];
    Node* old = base.Find(key);
    if (value.tag == Node::Tag::kReset) {
      base.Remove(key);
    } else if (old == nullptr) {
      base.Set(key, std::move(value));
    } else {
      Merge(*old, std::move(value), PathBelow(path, key));
    }
  }
}

void Merge(Node& base, Node over, const std::string& path) {
  if (over.IsNull())
    return;  // `web:` adds nothing to what web has
  const Rule* rule = FindRule(path);
  bool replace = over.tag == Node::Tag::kOverride || (rule != nullptr && *rule == Rule::kReplace);
  if (rule != nullptr && !replace) {
    Normalise(base, *rule);
    Normalise(over, *rule);
  }
  if (replace || base.kind != over.kind || base.IsScalar()) {
    base = std::move(over);
  } else if (base.IsMap()) {
    MergeMaps(base, std::move(over), path);
  } else {
    MergeLists(base, std::move(over), rule != nullptr && *rule == Rule::kTargets);
  }
}

}  // namespace

void MergeFile(Node& base, Node over) {
  MergeMaps(base, std::move(over), "");
}

void DropResets(Node& node) {
  for (size_t i = node.items.size(); i-- > 0;) {
    if (node.IsMap() && node.items[i].tag == Node::Tag::kReset) {
      node.keys.erase(node.keys.begin() + static_cast<ptrdiff_t>(i));
      node.items.erase(node.items.begin() + static_cast<ptrdiff_t>(i));
    } else {
      DropResets(node.items[i]);
    }
  }
}

}  // namespace wherry::compose
