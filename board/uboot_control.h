// U-Boot's two customs for slots, both kept in its environment. docs/board.md has the scripts.
#pragma once

#include <memory>

#include "board/slot.h"

namespace wherry::board {

// BOOT_ORDER="A B", BOOT_A_LEFT, BOOT_B_LEFT (hex): as RAUC. The script takes the first slot of the
// order that has boots left, and counts one off before it boots.
Result<std::unique_ptr<BootControl>> OpenBootOrder(const SlotsConfig& config);

// boot_slot, upgrade_available, bootcount: U-Boot's boot counter with bootlimit=1, whose altbootcmd
// boots the other slot.
Result<std::unique_ptr<BootControl>> OpenBootCount(const SlotsConfig& config);

}  // namespace wherry::board
