// Log of the daemon and the shim launcher: one line per event on standard error, "<level> message",
// with the time when standard error is not a journal. Libraries do not log; they return errors.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/result.h"
#include "core/base/text.h"

namespace wherry {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

void SetLogLevel(LogLevel level);
Result<LogLevel> ParseLogLevel(std::string_view text);  // debug, info, warning, error
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level,
             std::string_view message);  // one write(2); control characters are escaped

template <class... Parts>
void LogDebug(const Parts&... parts) {
  if (LogEnabled(LogLevel::kDebug))
    LogLine(LogLevel::kDebug, Cat(parts...));
}
template <class... Parts>
void LogInfo(const Parts&... parts) {
  if (LogEnabled(LogLevel::kInfo))
    LogLine(LogLevel::kInfo, Cat(parts...));
}
template <class... Parts>
void LogWarning(const Parts&... parts) {
  if (LogEnabled(LogLevel::kWarning))
    LogLine(LogLevel::kWarning, Cat(parts...));
}
template <class... Parts>
void LogError(const Parts&... parts) {
  if (LogEnabled(LogLevel::kError))
    LogLine(LogLevel::kError, Cat(parts...));
}

}  // namespace wherry
