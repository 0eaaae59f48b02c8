// Time: clocks, RFC 3339, durations. No time zones but UTC, no locale.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry {

// Nanoseconds since 1970 UTC, wall clock. Never the base of an update decision: devices may have no
// RTC.
int64_t UnixNanosNow();
// Monotonic time, does not stop in suspend (CLOCK_BOOTTIME).
std::chrono::nanoseconds Uptime();

// "2026-01-02T03:04:05.000000006Z" (RFC 3339, always nine digits and Z).
std::string FormatRfc3339Nano(int64_t unix_nanos);
// Docker's zero time "0001-01-01T00:00:00Z" is returned for 0.
std::string FormatRfc3339NanoOrZero(int64_t unix_nanos);
// Accepts any RFC 3339 fraction and offset; the zero time gives 0.
Result<int64_t> ParseRfc3339(std::string_view text);
// Go duration: "1h30m", "500ms", "5s", "-2m"; plain integers but "0" are rejected.
Result<std::chrono::nanoseconds> ParseGoDuration(std::string_view text);
// A point in time as Docker's since/until takes it: unix seconds with optional fraction, RFC 3339
// (also without zone or time), or a Go duration before `now`.
Result<int64_t> ParseTimestamp(std::string_view text, int64_t now_unix_nanos);
// "5 minutes", "About an hour", "3 weeks": how docker ps words an age.
std::string HumanDuration(std::chrono::nanoseconds duration);

}  // namespace wherry
