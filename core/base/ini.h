// INI files by inih, with the place of every value so that an error can name file and line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry {

struct IniEntry {
  std::string_view
      section;  // "daemon", or "registry \"host:5000\"" as written between the brackets
  std::string_view key;
  std::string_view value;  // trimmed; ';' and '#' start a comment only at the beginning of a line
  std::string_view file;
  int line;  // 1-based
};

// Calls `visit` for each entry in order and stops at its first error. A line that is neither
// section, comment nor key=value: kInvalid "FILE:LINE: ...". Lines over 2000 characters are
// refused.
Result<> ParseIni(std::string_view text, std::string_view file_name,
                  const std::move_only_function<Result<>(const IniEntry&) const>& visit);

}  // namespace wherry
