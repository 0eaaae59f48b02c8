#include "cli/table.h"

#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"

namespace wherry::cli {

namespace {

// Columns on the terminal: characters, not bytes, of UTF-8 text.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size())
        text.append(widths[i] - Width(row[i]) + 3, ' ');
    }
    text += '\n';
  }
  return text;
}

Result<> Print(std::string_view text) {
  return WriteAll(STDOUT_FILENO, text, "standard output");
}

}  // namespace wherry::cli
