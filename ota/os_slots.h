// The operating system of the device as the updater sees it: two slots, of which one runs. ota
// knows them only through this interface; the engine implements it over board/, tests with files.
// All calls block and may be repeated from any state a crash or a power cut can leave.
#pragma once

#include <functional>
#include <string>

#include "board/slot.h"
#include "core/base/result.h"
#include "ota/release.h"
#include "ota/workload.h"

namespace wherry::ota {

class OsSlots {
 public:
  virtual ~OsSlots() = default;

  virtual board::Slot Booted() const = 0;
  // Different for each boot of the device, the same for all runs of the daemon in one.
  virtual std::string BootId() const = 0;

  // The slot that does not run holds `image`, complete and durable. From before the first byte is
  // written it is not booted, whatever happens.
  virtual Result<> Write(const OsImage& image, const CancelFlag& cancel) = 0;

  // As board::BootControl has them.
  virtual Result<> Arm(board::Slot slot) = 0;
  virtual Result<> Commit(board::Slot slot, board::TheOther other) = 0;

  // The device restarts soon, or an error says why not.
  virtual Result<> Restart() = 0;
};

// What can be done about a trial that was begun with slots, where they cannot be told any more: the
// operating system on trial may lack their configuration.
struct NoSlots {
  std::string why;                    // one clause
  std::string boot;                   // as OsSlots::BootId
  std::function<Result<>()> restart;  // as OsSlots::Restart, without a word to the boot loader
};

}  // namespace wherry::ota
