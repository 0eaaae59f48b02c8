// Typed, checked access to the members of a JSON document, with the full name of the field in every
// error ("config.json: process.user.uid must be ...").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::oci {

// A value and where it is in the document. Absent and null are the same. Cheap to copy: the full
// name is looked for only when an error needs it. `root` must outlive every Field made from it.
class Field {
 public:
  // `document` is named in errors, and outlives it too.
  explicit Field(const JsonValue& root, std::string_view document = "config.json")
      : root_(&root), document_(document), value_(root) {}

  explicit operator bool() const { return value_ && !value_.IsNull(); }
  JsonValue value() const { return value_; }
  std::string_view key() const { return value_.key(); }
  std::string name() const;  // "linux.devices[2].path"

  // The member `key` (a literal); absent when this is absent.
  Field operator[](std::string_view key) const {
    return Field(*this, *this ? value_[key] : JsonValue(), key);
  }
  // The elements of an array, members of an object; none when absent. kInvalid for another type.
  Result<std::vector<Field>> Elements() const;
  Result<std::vector<Field>> Members() const;

  // Whether it is given and not empty: "", [] and {} ask for nothing.
  bool AsksForSomething() const;
  Result<> ExpectObject() const;
  // kInvalid naming the first member that is not in `known`.
  Result<> ExpectKnown(std::span<const std::string_view> known) const;
  Result<std::string> Text() const;  // "" when absent
  Result<bool> Flag() const;         // false when absent
  Result<std::vector<std::string>> Texts() const;
  Result<std::string> AbsolutePath() const;              // kInvalid when absent
  Result<std::vector<std::string>> Environment() const;  // "NAME=value"
  Result<std::map<std::string, std::string>> TextMap() const;
  // "0-2,4" as {0, 1, 2, 4}: CPUs, memory nodes. None when absent or "".
  Result<std::vector<uint32_t>> NumberList() const;
  // kInvalid when it is absent or not a whole number in [low, high].
  Result<int64_t> Number(int64_t low, int64_t high) const;
  // Leaves `out` alone when absent.
  template <class T>
  Result<> Store(T& out, int64_t low, int64_t high) const {
    if (!*this)
      return {};
    out = static_cast<typename Plain<T>::Type>(TRY(Number(low, high)));
    return {};
  }

  // `return field.Bad("must be absolute");`
  std::unexpected<Error> Bad(std::string_view what) const;
  std::unexpected<Error> Unsupported() const;

 private:
  template <class T>
  struct Plain {
    using Type = T;
  };
  template <class T>
  struct Plain<std::optional<T>> {
    using Type = T;
  };

  Field(const Field& parent, JsonValue value, std::string_view key)
      : root_(parent.root_),
        document_(parent.document_),
        parent_(parent.value_),
        value_(value),
        key_(key) {}
  Result<std::vector<Field>> Children() const;

  const JsonValue* root_;
  std::string_view document_;
  JsonValue parent_;
  JsonValue value_;
  std::string_view key_;  // of a member, also when it is absent
};

}  // namespace wherry::oci
