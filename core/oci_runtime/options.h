// Words of a command line to options and arguments, as runc reads them: `--name value`,
// `--name=value`, `-n value`; the first word that is none of these ends the options.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace wherry::oci_runtime {

enum class Takes : uint8_t {
  kNothing,
  kValue,
  kRefused,  // known to runc or crun, and not supported here
};

struct OptionRow {
  std::string_view name;  // without dashes
  char letter = 0;        // 0: none
  Takes takes = Takes::kNothing;
};

class Options {
 public:
  // kInvalid for an option without a row, kUnsupported for a refused one: each by its name.
  static Result<Options> Parse(std::span<const OptionRow> rows, std::span<const std::string> words);

  bool Has(std::string_view name) const;
  // The last one given; "" without.
  std::string Value(std::string_view name) const;
  std::vector<std::string> Values(std::string_view name) const;
  // A number in [0, high]; 0 when it is not given.
  Result<int> Number(std::string_view name, int high) const;
  // What follows the options.
  const std::vector<std::string>& arguments() const { return arguments_; }

 private:
  std::vector<std::pair<std::string_view, std::string>> given_;
  std::vector<std::string> arguments_;
};

}  // namespace wherry::oci_runtime
