// Slots for tests of updates: files in the place of devices and boot loader, so that they outlive
// the process. Each object is one boot of the device.
#pragma once

#include <functional>
#include <string>

#include "core/base/file.h"
#include "core/base/text.h"
#include "ota/os_slots.h"

namespace wherry::ota {

class FileSlots final : public OsSlots {
 public:
  // The boot loader: what is armed is booted, once.
  explicit FileSlots(std::string directory) : directory_(std::move(directory)) {
    if (!MakeDirs(directory_, 0700))
      abort();
    std::string boot = Get("boot");
    booted_ = boot.ends_with('B') ? board::Slot::kB : board::Slot::kA;
    if (boot.size() > 1)
      Put("boot", boot.substr(0, 1));
  }

  board::Slot Booted() const override { return booted_; }
  std::string BootId() const override { return boot_id_; }

  Result<> Write(const OsImage& image, const CancelFlag& /*cancel*/) override {
    Act("mark");
    Put("boot", Name(booted_));
    Act("write");
    Put(Cat("slot-", Name(Other(booted_))), image.version);
    return {};
  }
  Result<> Arm(board::Slot slot) override {
    Act("arm");
    Put("boot", Cat(Name(Other(slot)), Name(slot)));
    return {};
  }
  Result<> Commit(board::Slot slot, board::TheOther /*other*/) override {
    Act("commit");
    Put("boot", Name(slot));
    return {};
  }
  Result<> Restart() override {
    Act("restart");
    ++restarts;
    return {};
  }

  // The version of what runs, and whether the next boot takes it again.
  std::string Running() const { return Get(Cat("slot-", Name(booted_))); }
  std::string Next() const { return Get("boot"); }

  std::function<void(std::string_view)> on_action;  // before each
  std::atomic<int> restarts = 0;

 private:
  static std::string Name(board::Slot slot) { return std::string(1, board::Letter(slot)); }
  void Act(std::string_view what) {
    if (on_action)
      on_action(what);
  }
  std::string Get(const std::string& name) const {
    return ReadFile(Cat(directory_, '/', name)).value_or("");
  }
  void Put(const std::string& name, std::string_view content) {
    if (!ReplaceFile(Cat(directory_, '/', name), content, 0600, Durability::kVolatile))
      abort();
  }

  std::string directory_;
  board::Slot booted_;
  std::string boot_id_ = RandomId();
};

// "os" of a release, to be put beside its apps.
inline std::string OsText(std::string_view version) {
  return Cat(R"("os":{"version":")", version, R"(","image":"registry.example/os@)",
             Digest::Of(version).string(), R"(","size":1,"sha256":")", Digest::Of(version).hex(),
             "\"}");
}

}  // namespace wherry::ota
