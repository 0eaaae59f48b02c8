// Reading a tree against what is expected of it. A wrong type is reported with its place, and the
// reader goes on with an empty value. Internal to engine/compose.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/compose/report.h"

namespace wherry::compose {

// NAME=VALUE pairs; without a value: NAME alone.
using Pairs = std::map<std::string, std::optional<std::string>, std::less<>>;

class Value {
 public:
  // The root of a tree.
  Value(const Node& node, Report& report) : node_(&node), report_(&report) {}

  const Node& node() const { return *node_; }
  std::string path() const;  // "services.web.ports[0]"
  Report& report() const { return *report_; }

  std::string Text() const;  // a scalar
  bool Flag() const;         // true or false, also as a string
  int64_t Number() const;
  int64_t Size() const;                          // bytes, "64m", or -1
  int64_t Nanoseconds() const;                   // "1m30s"
  int64_t NanoCpus() const;                      // "1.5"
  std::vector<std::string> Texts() const;        // a list of scalars
  std::vector<std::string> TextOrTexts() const;  // or one of them alone
  Pairs NameValues() const;                      // a map of scalars, or a list of NAME=VALUE
  std::map<std::string, std::string, std::less<>> Strings() const;  // the same, "" for no value

  size_t size() const { return node_->items.size(); }
  // An element or the value of a member; refers to this one.
  Value Element(size_t i) const { return {*this, i}; }
  Value Member(size_t i) const { return {*this, i}; }
  const std::string& Key(size_t i) const { return node_->keys[i]; }
  bool IsList() const { return node_->IsList(); }
  bool IsMap() const { return node_->IsMap(); }
  // False, and reported, when it is something else.
  bool ExpectMap() const;
  bool ExpectList() const;

  void Bad(std::string_view what) const;
  void Unsupported() const;

 private:
  Value(const Value& parent, size_t index)
      : node_(&parent.node_->items[index]),
        parent_(&parent),
        index_(index),
        report_(parent.report_) {}

  const Node* node_;
  const Value* parent_ = nullptr;
  size_t index_ = 0;  // in the parent
  Report* report_;
};

// Keys that begin with x- belong to others.
bool IsExtension(std::string_view key);

// One row for each key that a map may have.
template <class T>
struct KeyRow {
  std::string_view key;
  void (*read)(const Value& value, T& out);
};

// Calls the row of each key; a key without one is not supported, one without a value is as absent.
template <class T>
void ReadKeys(const Value& map, std::span<const KeyRow<T>> rows, T& out) {
  if (!map.ExpectMap())
    return;
  for (size_t i = 0; i < map.size(); ++i) {
    const KeyRow<T>* found = nullptr;
    for (const KeyRow<T>& row : rows) {
      if (row.key == map.Key(i))
        found = &row;
    }
    if (found == nullptr) {
      if (!IsExtension(map.Key(i)))
        map.Member(i).Unsupported();
    } else if (!map.node().items[i].IsNull()) {
      found->read(map.Member(i), out);
    }
  }
}

}  // namespace wherry::compose
