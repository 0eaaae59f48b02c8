// Columns for people: `ps`, `images`.
#pragma once

#include <string>
#include <vector>

namespace wherry::cli {

// Rows of equal length; the first is the heading. Columns are as wide as their widest cell, three
// spaces apart.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace wherry::cli
