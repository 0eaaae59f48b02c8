// The slots of the board as the updater needs them: an operating system's image is streamed from
// its registry into the slot that does not run. Blocking: the updater's thread, and whoever
// confirms.
#pragma once

#include <atomic>
#include <memory>

#include "board/slots.h"
#include "engine/config.h"
#include "ota/os_slots.h"

namespace wherry::engine {

class OsUpdate final : public ota::OsSlots {
 public:
  OsUpdate(const Config* config, std::unique_ptr<board::Slots> slots)
      : config_(config), slots_(std::move(slots)) {}

  board::Slot Booted() const override { return slots_->booted(); }
  std::string BootId() const override;
  Result<> Write(const ota::OsImage& image, const ota::CancelFlag& cancel) override;
  Result<> Arm(board::Slot slot) override;
  Result<> Commit(board::Slot slot, board::TheOther other) override;
  Result<> Restart() override;

 private:
  const Config* config_;
  std::unique_ptr<board::Slots> slots_;
  std::atomic<bool> armed_ = false;
};

}  // namespace wherry::engine
