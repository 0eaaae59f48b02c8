// What commands print: text, and columns for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::cli {

// Rows of equal length; the first is the heading. Columns are as wide as their widest cell, three
// spaces apart.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// To standard output. An error when it is closed or full.
Result<> Print(std::string_view text);

}  // namespace wherry::cli
