#include "cli/progress.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

std::string ProgressDisplay::Bar(uint64_t current, uint64_t total) const {
  constexpr size_t kWidth = 30;
  size_t filled = total == 0 ? 0 : static_cast<size_t>(std::min(current, total) * kWidth / total);
  std::string bar = "[";
  bar.append(filled, '=');
  if (filled < kWidth)
    bar += '>';
  bar.resize(kWidth + 1, ' ');
  return Cat(bar, "] ", FormatSize(current), "/", FormatSize(total));
}

void ProgressDisplay::Show(JsonValue message) {
  std::string_view id = message["id"].str();
  std::string_view status = message["status"].str();
  JsonValue detail = message["progressDetail"];
  uint64_t total = static_cast<uint64_t>(detail["total"].integer());
  uint64_t current = static_cast<uint64_t>(detail["current"].integer());
  if (id.empty() || columns_ == 0) {
    if (total == 0)
      (void)WriteAll(fd_, Cat(id, id.empty() ? "" : ": ", status, "\n"), "progress");
    return;
  }
  std::string text =
      Cat(status, total == 0 ? "" : " ", total == 0 ? std::string() : Bar(current, total));
  auto row = std::find_if(rows_.begin(), rows_.end(), [id](const Row& r) { return r.id == id; });
  if (row == rows_.end()) {
    rows_.push_back({std::string(id), std::move(text)});
    (void)WriteAll(fd_, "\n", "progress");
    return Redraw(rows_.size() - 1);
  }
  row->text = std::move(text);
  Redraw(static_cast<size_t>(row - rows_.begin()));
}

// Moves up to the row, rewrites it, and moves back below the last one.
void ProgressDisplay::Redraw(size_t row) {
  size_t up = rows_.size() - row;
  std::string line = Cat(rows_[row].id, ": ", rows_[row].text);
  if (line.size() >= columns_)
    line.resize(columns_ - 1u);
  (void)WriteAll(fd_, Cat("\x1b[", up, "A\r\x1b[2K", line, "\x1b[", up, "B\r"), "progress");
}

}  // namespace wherry::cli
