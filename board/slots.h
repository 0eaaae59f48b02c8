// The slots of this board: where they are, which one runs, and the boot loader's backend.
// docs/board.md.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "board/slot.h"

namespace wherry::board {

// "none, uboot, ...": what SlotsConfig::kind may be.
bool IsKind(std::string_view kind);
std::string KindNames();

class Slots {
 public:
  // Null for kind none. An error names what is missing or contradictory: a device that is none, a
  // board whose booted slot cannot be told, an environment that cannot be read.
  static Result<std::unique_ptr<Slots>> Open(const SlotsConfig& config);

  Slot booted() const { return booted_; }
  const std::string& Device(Slot slot) const { return devices_[static_cast<size_t>(slot)]; }
  BootControl& control() { return *control_; }

 private:
  Slots(const SlotsConfig& config, Slot booted, std::unique_ptr<BootControl> control)
      : devices_(config.devices), booted_(booted), control_(std::move(control)) {}

  std::array<std::string, 2> devices_;
  Slot booted_;
  std::unique_ptr<BootControl> control_;
};

// Which slot the kernel was told it runs from: wherry.slot=A or rauc.slot=A on its command line.
// kNotFound when it does not say.
Result<Slot> SlotOfCommandLine(std::string_view command_line);

}  // namespace wherry::board
