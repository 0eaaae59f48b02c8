// Writes an operating system's image to the slot that does not run. Blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::board {

struct SlotImage {
  uint64_t size = 0;  // bytes
  Digest digest;      // of those bytes
};

// Whether the front of `device` is `image` already. Ends with kCancelled soon after `cancelled`.
Result<bool> SlotHolds(const std::string& device, const SlotImage& image,
                       const std::atomic<bool>& cancelled);

// Streams `source` to `device` (a block device, or a file in its place), leaves alone what is equal
// already, waits for the device and reads all of it back. kBusy when the device is mounted or is
// the root file system's; kNoSpace when the image is larger; kCorrupt when what came, or what was
// read back, is not `image`: the slot is not to be booted then.
Result<> WriteSlot(const std::string& device, ByteSource& source, const SlotImage& image,
                   const std::atomic<bool>& cancelled);

}  // namespace wherry::board
