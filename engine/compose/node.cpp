#include "engine/compose/node.h"

#include <algorithm>

#include "core/base/json.h"

namespace wherry::compose {

namespace {

constexpr std::string_view kSpecial = "#&*!|>'\"%@`{}[],?:-";

// Whether a string can stand without quotes and is read as that string again.
bool IsPlain(std::string_view text) {
  if (text.empty() || kSpecial.find(text[0]) != std::string_view::npos || text.front() == ' ' ||
      text.back() == ' ' || text.back() == ':')
    return false;
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos)
    return false;
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

// What a plain scalar would be taken for something else than a string by some reader.
bool LooksTyped(std::string_view text) {
  constexpr std::string_view kWords[] = {"null", "Null", "NULL", "~", "true", "false", "yes",
                                         "no",   "on",   "off",  "y", "n",    "<<",    "="};
  if (std::ranges::find(kWords, text) != std::end(kWords))
    return true;
  return (text[0] >= '0' && text[0] <= '9') || text[0] == '.' || text[0] == '+';
}

void Write(const Node& node, size_t indent, std::string& out);

void WriteScalar(const Node& node, std::string& out) {
  bool plain = IsPlain(node.text) && !(node.quoted && LooksTyped(node.text));
  if (plain) {
    out += node.text;
  } else {
    AppendJsonString(out, node.text);  // a double quoted scalar is what JSON has
  }
}

void WriteMember(const Node& value, size_t indent, bool in_list, std::string& out) {
  bool block = (value.IsMap() || value.IsList()) && !value.items.empty();
  if (!block) {
    out += ' ';
    Write(value, indent, out);
    out += '\n';
  } else if (in_list) {
    out += ' ';
    std::string inner;
    Write(value, indent + 2, inner);
    out += std::string_view(inner).substr(indent + 2);
  } else {
    out += '\n';
    Write(value, indent + 2, out);
  }
}

void Write(const Node& node, size_t indent, std::string& out) {
  if (node.IsNull()) {
    out += "null";
  } else if (node.IsScalar()) {
    WriteScalar(node, out);
  } else if (node.items.empty()) {
    out += node.IsMap() ? "{}" : "[]";
  } else {
    for (size_t i = 0; i < node.items.size(); ++i) {
      out.append(indent, ' ');
      if (node.IsMap()) {
        Node key;
        key.kind = Node::Kind::kScalar;
        key.quoted = true;
        key.text = node.keys[i];
        WriteScalar(key, out);
        out += ':';
      } else {
        out += '-';
      }
      WriteMember(node.items[i], indent, node.IsList(), out);
    }
  }
}

}  // namespace

const Node* Node::Find(std::string_view key) const {
  auto found = std::ranges::find(keys, key);
  return found == keys.end() ? nullptr : &items[static_cast<size_t>(found - keys.begin())];
}

Node* Node::Find(std::string_view key) {
  auto found = std::ranges::find(keys, key);
  return found == keys.end() ? nullptr : &items[static_cast<size_t>(found - keys.begin())];
}

Node& Node::Set(std::string_view key, Node value) {
  if (Node* old = Find(key)) {
    *old = std::move(value);
    return *old;
  }
  keys.emplace_back(key);
  items.push_back(std::move(value));
  return items.back();
}

void Node::Remove(std::string_view key) {
  auto found = std::ranges::find(keys, key);
  if (found == keys.end())
    return;
  items.erase(items.begin() + (found - keys.begin()));
  keys.erase(found);
}

std::string WriteYaml(const Node& node) {
  std::string out;
  Write(node, 0, out);
  if (out.empty() || out.back() != '\n')
    out += '\n';
  return out;
}

}  // namespace wherry::compose
