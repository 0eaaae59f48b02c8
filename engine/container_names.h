// Names of containers: what a valid one is, and made-up ones for containers created without a name.
// Thread-safe, no state.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::engine {

// [a-zA-Z0-9][a-zA-Z0-9_.-]+; a leading "/" is dropped first. Returns the bare name; kInvalid in
// Docker's words.
Result<std::string> ValidateName(std::string_view name);

// "adjective_surname" from getrandom; from the second attempt on with a digit, so that a full
// engine finds one too.
std::string RandomName(int attempt);

}  // namespace wherry::engine
