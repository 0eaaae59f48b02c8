// The two places an operating system can be in, and how a boot loader is told which one to boot.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::board {

enum class Slot : uint8_t { kA, kB };

constexpr Slot Other(Slot slot) {
  return slot == Slot::kA ? Slot::kB : Slot::kA;
}
constexpr char Letter(Slot slot) {
  return slot == Slot::kA ? 'A' : 'B';
}

// [board] of the daemon's configuration.
struct SlotsConfig {
  std::string kind = "none";                       // a row of the table in slots.cpp
  std::array<std::string, 2> devices;              // of the slots A and B
  std::string environment = "/etc/fw_env.config";  // of U-Boot
  std::string autoboot;                            // tryboot: the partition with autoboot.txt
};

// What becomes of the slot that is not committed: it stays what it is, or is not to be booted at
// all.
enum class TheOther : uint8_t { kStays, kBad };

// One way to tell a boot loader which slot to boot. Each change is one store, on the device when
// the call returns: a cut of the power leaves what was before or what is after. What is so already
// is not written. Blocking, one at a time.
class BootControl {
 public:
  virtual ~BootControl() = default;

  // What the next boot takes, if the restart is a plain one.
  virtual Result<Slot> Next() = 0;
  // The next boot tries `slot`, once; every boot after that takes the other one.
  virtual Result<> Arm(Slot slot) = 0;
  // From now on `slot` boots, and nothing is armed.
  virtual Result<> Commit(Slot slot, TheOther other) = 0;
  // What the restart after Arm is called with (reboot(2), RESTART2); most loaders need nothing.
  virtual std::string_view RestartArgument() const { return {}; }
};

}  // namespace wherry::board
