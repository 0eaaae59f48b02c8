#include "core/base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iterator>

#include "core/base/time.h"

namespace wherry {

namespace {

struct LevelRow {
  std::string_view name;
  std::string_view journal_prefix;  // sd-daemon(3)
};

constexpr LevelRow kLevels[] = {
    {"debug", "<7>"}, {"info", "<6>"}, {"warning", "<4>"}, {"error", "<3>"}};

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

// systemd sets JOURNAL_STREAM to "device:inode" of the journal's socket; a redirected standard
// error differs.
bool IsJournal() {
  const char* stream = getenv("JOURNAL_STREAM");
  struct stat info;
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) {
    return false;
  }
  return stream == Cat(static_cast<uint64_t>(info.st_dev), ":", static_cast<uint64_t>(info.st_ino));
}

void AppendEscaped(std::string& out, std::string_view message) {
  constexpr char kHex[] = "0123456789abcdef";
  for (char c : message) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      Append(out, "\\x", kHex[byte >> 4], kHex[byte & 15]);
    }
  }
}

}  // namespace

void SetLogLevel(LogLevel level) {
  minimum_level.store(level, std::memory_order_relaxed);
}

Result<LogLevel> ParseLogLevel(std::string_view text) {
  for (size_t i = 0; i < std::size(kLevels); ++i) {
    if (text == kLevels[i].name) {
      return static_cast<LogLevel>(i);
    }
  }
  return Fail(Errc::kInvalid, Cat("log level \"", text.substr(0, 64),
                                  "\" is unknown; use debug, info, warning or error"));
}

bool LogEnabled(LogLevel level) {
  return level >= minimum_level.load(std::memory_order_relaxed);
}

void LogLine(LogLevel level, std::string_view message) {
  static const bool journal = IsJournal();
  const LevelRow& row = kLevels[static_cast<size_t>(level)];
  std::string line = journal ? std::string(row.journal_prefix)
                             : Cat(FormatRfc3339Nano(UnixNanosNow()), " ", row.name, " ");
  AppendEscaped(line, message);
  line += '\n';
  // Nobody to tell when standard error is gone.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace wherry
