// The table of every field of Docker's HostConfig: type, default, and what this version does with
// it. One row is what it takes to accept and echo a field; acting on it is a line in
// container_parse*.cpp. Thread-safe: constant data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::engine {

enum class FieldType : uint8_t { kBool, kInt, kString, kStrings, kArray, kObject, kStringMap };

enum class FieldUse : uint8_t {
  kUsed,     // acted on, or meaningless on Linux and only echoed
  kRefused,  // anything but the empty value is kUnsupported
};

struct Field {
  std::string_view name;
  FieldType type;
  FieldUse use;
  std::string_view fallback;  // JSON for an absent value; "" leaves the field out
  std::string_view option;    // the command line option, for messages
};

std::span<const Field> HostFields();

// null, false, 0, "", [] or {}: what clients send for "not asked for".
bool IsEmptyValue(JsonValue value);

// kInvalid naming object and field when a value that is present is not of the field's type.
Result<> CheckType(JsonValue value, FieldType type, std::string_view object, std::string_view name);

}  // namespace wherry::engine
