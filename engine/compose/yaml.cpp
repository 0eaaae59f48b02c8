// From libyaml's events to the tree.
#include <yaml.h>

#include <algorithm>
#include <map>

#include "core/base/text.h"
#include "engine/compose/node.h"

namespace wherry::compose {

namespace {

constexpr size_t kMaxKeys = 2000;  // of one map: they are looked through one by one
constexpr std::string_view kNulls[] = {"", "~", "null", "Null", "NULL"};

struct Parser {
  Parser() { ready = yaml_parser_initialize(&yaml) == 1; }
  ~Parser() {
    if (ready)
      yaml_parser_delete(&yaml);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  yaml_parser_t yaml{};
  bool ready;
};

struct Event {
  Event() = default;
  ~Event() { yaml_event_delete(&yaml); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  yaml_event_t yaml{};
};

std::string_view Text(const yaml_char_t* text) {
  return text == nullptr
             ? std::string_view()
             : std::string_view(static_cast<const char*>(static_cast<const void*>(text)));
}

class Reader {
 public:
  Reader(std::string_view name, uint16_t file) : name_(name), file_(file) {}

  Result<Node> Read(std::string_view text) {
    if (text.size() > kMaxFileBytes)
      return Bad(1, "the file is longer than 1 MiB");
    if (!parser_.ready)
      return Fail(Errc::kNoSpace, "not enough memory");
    yaml_parser_set_input_string(
        &parser_.yaml, static_cast<const unsigned char*>(static_cast<const void*>(text.data())),
        text.size());
    Node root;
    root.kind = Node::Kind::kMap;
    root.file = file_;
    root.line = 1;
    bool seen = false;
    for (;;) {
      Event event;
      TRY(Next(event));
      switch (event.yaml.type) {
        case YAML_STREAM_END_EVENT:
          return root;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
          break;
        case YAML_DOCUMENT_START_EVENT:
          if (seen)
            return Bad(Line(event), "the file has a second document");
          seen = true;
          break;
        default:
          TRY(Root(event, root));
      }
    }
  }

 private:
  Result<> Root(const Event& event, Node& root) {
    Node node = TRY(Value(event, 0));
    if (!node.IsNull())
      root = std::move(node);
    return {};
  }

  static uint32_t Line(const Event& event) {
    return static_cast<uint32_t>(event.yaml.start_mark.line + 1);
  }

  std::unexpected<Error> Bad(size_t line, std::string_view what) const {
    return Fail(Errc::kInvalid, Cat(name_, ":", line, ": ", what));
  }

  Result<> Next(Event& event) {
    if (yaml_parser_parse(&parser_.yaml, &event.yaml) == 1)
      return {};
    const yaml_parser_t& yaml = parser_.yaml;
    size_t line = yaml.error == YAML_READER_ERROR ? yaml.mark.line : yaml.problem_mark.line;
    const char* problem = yaml.problem == nullptr ? "cannot be read" : yaml.problem;
    if (yaml.context == nullptr)
      return Bad(line + 1, Cat("not valid YAML: ", problem));
    return Bad(line + 1, Cat("not valid YAML: ", problem, " ", yaml.context));
  }

  // One node more with so much text.
  Result<> Count(const Node& node) {
    text_ += node.text.size();
    for (const std::string& key : node.keys)
      text_ += key.size();
    if (++nodes_ > kMaxNodes || text_ > kMaxTextBytes)
      return Bad(node.line, "the file has too much in it, its aliases counted as often as used");
    return {};
  }

  Result<> CountTree(const Node& node) {
    TRY(Count(node));
    for (const Node& item : node.items)
      TRY(CountTree(item));
    return {};
  }

  Result<> ReadTag(const yaml_char_t* tag, Node& node) {
    std::string_view text = Text(tag);
    constexpr std::string_view kStandard = "tag:yaml.org,2002:";
    constexpr std::string_view kKnown[] = {"str", "int", "bool", "float", "null", "seq", "map"};
    if (text.empty() || text == "!")
      return {};
    if (text == "!reset") {
      node.tag = Node::Tag::kReset;
    } else if (text == "!override") {
      node.tag = Node::Tag::kOverride;
    } else if (!text.starts_with(kStandard) ||
               std::ranges::find(kKnown, text.substr(kStandard.size())) == std::end(kKnown)) {
      return Bad(node.line, Cat("the tag ", text, " is not supported"));
    } else if (text.substr(kStandard.size()) == "str") {
      node.quoted = true;
    }
    return {};
  }

  // Counted as one use: anchors inside of anchors are copies of copies.
  Result<> Remember(const yaml_char_t* anchor, const Node& node) {
    if (anchor == nullptr)
      return {};
    TRY(CountTree(node));
    anchors_[std::string(Text(anchor))] = node;
    return {};
  }

  Result<Node> Value(const Event& event, int depth) {
    Node node;
    node.file = file_;
    node.line = Line(event);
    if (depth > kMaxDepth)
      return Bad(node.line, Cat("nested deeper than ", kMaxDepth, " levels"));
    switch (event.yaml.type) {
      case YAML_ALIAS_EVENT:
        return Alias(event);
      case YAML_SCALAR_EVENT:
        TRY(Scalar(event, node));
        break;
      case YAML_SEQUENCE_START_EVENT:
        node.kind = Node::Kind::kList;
        TRY(ReadTag(event.yaml.data.sequence_start.tag, node));
        TRY(List(node, depth));
        TRY(Remember(event.yaml.data.sequence_start.anchor, node));
        break;
      case YAML_MAPPING_START_EVENT:
        node.kind = Node::Kind::kMap;
        TRY(ReadTag(event.yaml.data.mapping_start.tag, node));
        TRY(Map(node, depth));
        TRY(Remember(event.yaml.data.mapping_start.anchor, node));
        break;
      default:
        return Bad(node.line, "not valid YAML");
    }
    TRY(Count(node));
    return node;
  }

  Result<> Scalar(const Event& event, Node& node) {
    const auto& scalar = event.yaml.data.scalar;
    node.text.assign(static_cast<const char*>(static_cast<const void*>(scalar.value)),
                     scalar.length);
    node.quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
    TRY(ReadTag(scalar.tag, node));
    bool null = !node.quoted && std::ranges::find(kNulls, node.text) != std::end(kNulls);
    node.kind = null ? Node::Kind::kNull : Node::Kind::kScalar;
    if (null)
      node.text.clear();
    TRY(Remember(scalar.anchor, node));
    return {};
  }

  Result<Node> Alias(const Event& event) {
    auto found = anchors_.find(Text(event.yaml.data.alias.anchor));
    if (found == anchors_.end()) {
      return Bad(Line(event), Cat("the alias *", Text(event.yaml.data.alias.anchor),
                                  " has no anchor before it"));
    }
    TRY(CountTree(found->second));
    return found->second;
  }

  Result<> List(Node& node, int depth) {
    for (;;) {
      Event event;
      TRY(Next(event));
      if (event.yaml.type == YAML_SEQUENCE_END_EVENT)
        return {};
      Node item = TRY(Value(event, depth + 1));
      node.items.push_back(std::move(item));
    }
  }

  Result<> Map(Node& node, int depth) {
    std::map<std::string, uint32_t, std::less<>> lines;
    std::vector<Node> merged;
    for (;;) {
      Event event;
      TRY(Next(event));
      if (event.yaml.type == YAML_MAPPING_END_EVENT)
        break;
      if (event.yaml.type != YAML_SCALAR_EVENT)
        return Bad(Line(event), "the key of a map must be a word");
      Node key = TRY(Value(event, depth + 1));
      Event after;
      TRY(Next(after));
      Node value = TRY(Value(after, depth + 1));
      if (key.text == "<<" && !key.quoted) {
        merged.push_back(std::move(value));
        continue;
      }
      auto [first, is_new] = lines.emplace(key.text, key.line);
      if (!is_new) {
        return Bad(key.line,
                   Cat("the key ", key.text, " is there twice, first in line ", first->second));
      }
      if (node.keys.size() >= kMaxKeys)
        return Bad(key.line, Cat("the map has more than ", kMaxKeys, " keys"));
      node.keys.push_back(std::move(key.text));
      node.items.push_back(std::move(value));
    }
    for (const Node& from : merged)
      TRY(Merge(node, from));
    return {};
  }

  // What `into` has itself stays; of a list of maps the earlier ones win.
  Result<> Merge(Node& into, const Node& from) {
    if (from.IsList()) {
      for (const Node& one : from.items) {
        if (!one.IsMap())
          return Bad(one.line, "<< takes a map or a list of maps");
        TRY(Merge(into, one));
      }
      return {};
    }
    if (!from.IsMap())
      return Bad(from.line, "<< takes a map or a list of maps");
    for (size_t i = 0; i < from.keys.size(); ++i) {
      if (into.Find(from.keys[i]) == nullptr)
        into.Set(from.keys[i], from.items[i]);
    }
    return {};
  }

  std::string_view name_;
  uint16_t file_;
  Parser parser_;
  size_t nodes_ = 0;
  size_t text_ = 0;
  std::map<std::string, Node, std::less<>> anchors_;
};

}  // namespace

Result<Node> ParseYaml(std::string_view text, std::string_view name, uint16_t file) {
  return Reader(name, file).Read(text);
}

}  // namespace wherry::compose
