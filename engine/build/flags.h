// Flags of instructions: "--from=x". Internal to the instructions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::build {

struct FlagRow {
  enum class Kind : uint8_t { kText, kBool, kList, kUnsupported };
  std::string_view name;  // without "--"
  Kind kind;
};

class Flags {
 public:
  // `instruction` is for messages. kInvalid in BuildKit's words.
  static Result<Flags> Parse(std::string_view instruction, std::span<const std::string> given,
                             std::span<const FlagRow> known);

  std::string Text(std::string_view name) const;  // empty when it was not given
  std::vector<std::string> List(std::string_view name) const;
  std::optional<bool> Bool(std::string_view name) const;

 private:
  std::map<std::string_view, std::vector<std::string>> values_;  // the names are those of rows
};

}  // namespace wherry::build
