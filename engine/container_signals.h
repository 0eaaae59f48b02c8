// Signals by name and number, as Docker's stop, kill and STOPSIGNAL take them. Thread-safe, no
// state.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::engine {

// "SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1". kInvalid "Invalid signal: x" otherwise; 0 is
// invalid.
Result<int> ParseSignal(std::string_view text);

// "SIGTERM"; "SIG40" style for numbers without a name.
std::string SignalName(int number);

}  // namespace wherry::engine
