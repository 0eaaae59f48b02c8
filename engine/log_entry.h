// One line of a json-file log as the shim writes it (and Docker does):
//   {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
// Thread-safe, no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wherry::engine {

struct LogEntry {
  std::string text;  // unescaped; without a final "\n" it is part of a longer line
  bool from_stderr = false;
  std::string time;  // RFC 3339 as written
  bool ends_line() const { return text.ends_with('\n'); }
};

// False for anything that is not such an object (a torn line after a power cut): it is left out.
// Other members are skipped.
bool ParseLogEntry(std::string_view line, LogEntry& entry);

}  // namespace wherry::engine
