// Restarts the board.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::board {

// Asks systemd where it is the first process, so that other services end in order. Elsewhere:
// writes back the file systems of `directory` and of the root, and restarts at once. `argument`: of
// reboot(2)'s RESTART2, for the firmware; may be empty. Returns when systemd was asked, or with an
// error.
Result<> Restart(std::string_view argument, const std::string& directory);

// Different for each boot; empty when the kernel does not tell.
std::string BootId();

}  // namespace wherry::board
