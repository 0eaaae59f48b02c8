// A document of YAML as a tree that knows its lines. What a file says stays as text: who reads a
// value decides whether it is a number (compose takes "8080" and 8080 alike).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::compose {

// Bounds of one file, so that aliases of aliases cannot fill the memory.
inline constexpr size_t kMaxFileBytes = 1 << 20;
inline constexpr size_t kMaxNodes = 50'000;
inline constexpr size_t kMaxTextBytes = 4 << 20;
inline constexpr int kMaxDepth = 64;

struct Node {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  // compose's own tags, for files that are merged: !reset, !override.
  enum class Tag : uint8_t { kNone, kReset, kOverride };

  Kind kind = Kind::kNull;
  Tag tag = Tag::kNone;
  bool quoted = false;            // a scalar that is a string whatever it looks like
  uint16_t file = 0;              // index of the file, for messages
  uint32_t line = 0;              // from 1
  std::string text;               // of a scalar
  std::vector<std::string> keys;  // of a map, in the file's order
  std::vector<Node> items;        // elements, or the values of `keys`

  bool IsNull() const { return kind == Kind::kNull; }
  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsList() const { return kind == Kind::kList; }
  bool IsMap() const { return kind == Kind::kMap; }
  // The value of a map's key; null when it is absent or this is not a map.
  const Node* Find(std::string_view key) const;
  Node* Find(std::string_view key);
  // Adds or replaces.
  Node& Set(std::string_view key, Node value);
  void Remove(std::string_view key);
};

// The first document of `text`; nothing in it: an empty map. kInvalid "FILE:LINE: ..." for
// malformed text, more than the bounds, a second document, a duplicate or complex key, an unknown
// alias or tag. Scalars are those of YAML 1.2's core schema; `<<` merges maps as in YAML 1.1.
Result<Node> ParseYaml(std::string_view text, std::string_view name, uint16_t file);

// As YAML in block style, which ParseYaml reads as the same tree.
std::string WriteYaml(const Node& node);

}  // namespace wherry::compose
