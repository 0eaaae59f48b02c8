// Raspberry Pi: the firmware boots the partition that autoboot.txt names under [all], and after a
// restart with the argument "0 tryboot", once, the one under [tryboot].
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "board/slot.h"

namespace wherry::board {

// `autoboot`: the FAT partition (or an image of one) whose root directory has autoboot.txt, of one
// sector at most; `partitions`: the numbers of the slots A and B as autoboot.txt has them.
//
// A commit exchanges the two numbers inside the file's one data sector: neither the FAT nor the
// directory changes, and a sector is written whole or not at all. Nobody else may write there:
// the partition is not mounted, or read-only.
Result<std::unique_ptr<BootControl>> OpenTryboot(const std::string& autoboot,
                                                 const std::array<uint64_t, 2>& partitions);

}  // namespace wherry::board
