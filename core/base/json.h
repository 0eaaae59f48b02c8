// JSON: reading small documents by cJSON (owning tree, typed look-ups that never fail hard on
// hostile input) and writing by a streaming writer without a tree. Documents over a few hundred kB
// must not be read through this header.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

struct cJSON;

namespace wherry {

// A borrowed value inside a JsonDocument (or nothing). Cheap to copy; valid while the document
// lives. Every accessor is total: on a wrong type it gives the fallback.
class JsonValue {
 public:
  JsonValue() = default;
  explicit JsonValue(const cJSON* node) : node_(node) {}

  explicit operator bool() const { return node_ != nullptr; }  // present, null included
  bool IsNull() const;
  bool IsObject() const;
  bool IsArray() const;
  bool IsString() const;
  bool IsNumber() const;
  bool IsBool() const;

  // Member by name: exact match first, then ignoring ASCII case; of several the last, as Go's
  // decoder does. Absent: an empty value.
  JsonValue operator[](std::string_view key) const;
  size_t size() const;               // members or elements
  JsonValue at(size_t index) const;  // O(index)
  std::string_view key() const;      // this member's name inside its object

  std::string_view str(std::string_view fallback = {}) const;
  // Exact up to 2^53; a number out of range is clamped.
  int64_t integer(int64_t fallback = 0) const;
  bool boolean(bool fallback = false) const;
  std::vector<std::string> strings() const;  // of an array; non-strings are left out

  // Iteration over members or elements: for (JsonValue v : value).
  class Iterator {
   public:
    explicit Iterator(const cJSON* node) : node_(node) {}
    JsonValue operator*() const { return JsonValue(node_); }
    Iterator& operator++();
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    const cJSON* node_;
  };
  Iterator begin() const;
  Iterator end() const { return Iterator(nullptr); }

  // Compact text of this value.
  std::string Dump() const;
  const cJSON* node() const { return node_; }

 private:
  const cJSON* node_ = nullptr;
};

class JsonDocument {
 public:
  // kInvalid with the position for malformed text, trailing garbage, NUL in a string, or nesting
  // deeper than 128. `what` names the document. Strings keep invalid UTF-8 as it is.
  static Result<JsonDocument> Parse(std::string_view text, std::string_view what);

  JsonDocument(JsonDocument&& other) noexcept;
  JsonDocument& operator=(JsonDocument&& other) noexcept;
  ~JsonDocument();

  JsonValue root() const { return JsonValue(root_); }
  JsonValue operator[](std::string_view key) const { return root()[key]; }

 private:
  explicit JsonDocument(cJSON* root) : root_(root) {}
  cJSON* root_ = nullptr;
};

// Writes compact JSON in order of the calls. Keys and strings are escaped; invalid UTF-8 becomes
// U+FFFD as Go does.
//   JsonWriter w; w.Object().Key("Id").String(id).Key("Ports").Array().End().End(); w.Take()
class JsonWriter {
 public:
  JsonWriter& Object();
  JsonWriter& Array();
  JsonWriter& End();  // closes the innermost object or array
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);
  JsonWriter& Int(int64_t value);
  JsonWriter& Uint(uint64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& Raw(std::string_view json);  // an already encoded value
  JsonWriter& Value(JsonValue value);      // a parsed value, null when empty
  JsonWriter& Strings(const std::vector<std::string>& values);

  // Key and value in one call.
  JsonWriter& Field(std::string_view key, std::string_view value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, const char* value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, const std::string& value) {
    return Key(key).String(value);
  }
  JsonWriter& Field(std::string_view key, const std::vector<std::string>& v) {
    return Key(key).Strings(v);
  }
  JsonWriter& Field(std::string_view key, JsonValue value) { return Key(key).Value(value); }
  template <std::integral T>
  JsonWriter& Field(std::string_view key, T value) {
    Key(key);
    if constexpr (std::same_as<T, bool>) {
      return Bool(value);
    } else if constexpr (std::is_signed_v<T>) {
      return Int(value);
    } else {
      return Uint(value);
    }
  }

  const std::string& text() const { return out_; }
  std::string Take();

 private:
  void Separate();
  std::string out_;
  std::vector<char> closers_;  // '}' or ']' per open level
  bool need_comma_ = false;
};

// Appends `text` as a JSON string with quotes.
void AppendJsonString(std::string& out, std::string_view text);

}  // namespace wherry
