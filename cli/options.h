// Command line options from tables: parsing, and the rows that help is generated from. GNU style:
// --name value, --name=value, -n value, -nvalue, combined short flags, "--" ends options.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::cli {

enum class OptionKind : uint8_t {
  kFlag,   // present or not; --name=false switches it off
  kValue,  // the last one counts
  kList,   // may be given several times
};

struct Option {
  std::string_view name;  // "network"
  char letter;            // 'n', or 0
  OptionKind kind;
  std::string_view metavar;  // "SECONDS"; empty for flags
  std::string_view help;
};

// What the user gave, checked against a table.
class Arguments {
 public:
  bool Has(std::string_view name) const;
  bool Flag(std::string_view name) const;
  std::string Value(std::string_view name, std::string_view fallback = {}) const;
  const std::vector<std::string>& List(std::string_view name) const;
  const std::vector<std::string>& positional() const { return positional_; }

 private:
  friend class Parser;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positional_;
};

// Where option parsing ends: anywhere (`rm a -f`), or at the first positional argument, so that
// what follows belongs to the container's command (`run IMAGE ls -l`).
enum class Positional : uint8_t { kMixed, kEndsOptions };

// kInvalid with one sentence naming the option.
Result<Arguments> ParseArguments(std::span<const Option> options,
                                 std::span<const std::string> words, Positional positional);

// "  -d, --detach            Run in the background\n" per row.
std::string DescribeOptions(std::span<const Option> options);

}  // namespace wherry::cli
