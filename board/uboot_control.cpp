#include "board/uboot_control.h"

#include <array>

#include "board/uboot_env.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

// Boots of a slot that is committed; each good one sets them anew.
constexpr std::string_view kCommittedBoots = "3";
constexpr std::string_view kTrialBoots = "1";

std::string_view Left(Slot slot) {
  return slot == Slot::kA ? "BOOT_A_LEFT" : "BOOT_B_LEFT";
}
std::string_view Order(Slot first) {
  return first == Slot::kA ? "A B" : "B A";
}
std::string_view Name(Slot slot) {
  return slot == Slot::kA ? "A" : "B";
}

std::string_view Get(const UbootEnv::Variables& variables, std::string_view name) {
  auto found = variables.find(name);
  return found == variables.end() ? std::string_view() : std::string_view(found->second);
}

class UbootControl : public BootControl {
 public:
  explicit UbootControl(UbootEnv env) : env_(std::move(env)) {}

 protected:
  UbootEnv env_;
};

class BootOrder final : public UbootControl {
 public:
  using UbootControl::UbootControl;

  Result<Slot> Next() override {
    UbootEnv::Variables variables = TRY(env_.Read());
    Slot first = Get(variables, "BOOT_ORDER").starts_with('B') ? Slot::kB : Slot::kA;
    return Get(variables, Left(first)) == "0" ? Other(first) : first;
  }

  Result<> Arm(Slot slot) override {
    return env_.Store(std::array<UbootEnv::Setting, 3>{{{"BOOT_ORDER", Order(slot)},
                                                        {Left(slot), kTrialBoots},
                                                        {Left(Other(slot)), kCommittedBoots}}});
  }

  Result<> Commit(Slot slot, TheOther other) override {
    std::array<UbootEnv::Setting, 3> settings = {
        {{"BOOT_ORDER", Order(slot)}, {Left(slot), kCommittedBoots}, {Left(Other(slot)), "0"}}};
    return env_.Store(std::span(settings).first(other == TheOther::kBad ? 3 : 2));
  }
};

class BootCount final : public UbootControl {
 public:
  using UbootControl::UbootControl;

  Result<Slot> Next() override {
    UbootEnv::Variables variables = TRY(env_.Read());
    Slot named = Get(variables, "boot_slot") == "B" ? Slot::kB : Slot::kA;
    bool trial = Get(variables, "upgrade_available") == "1";
    return trial && Get(variables, "bootcount") != "0" ? Other(named) : named;
  }

  Result<> Arm(Slot slot) override { return Set(slot, "1"); }
  // A slot that is not named is never booted: nothing marks it.
  Result<> Commit(Slot slot, TheOther /*other*/) override { return Set(slot, "0"); }

 private:
  Result<> Set(Slot slot, std::string_view trial) {
    return env_.Store(std::array<UbootEnv::Setting, 3>{
        {{"boot_slot", Name(slot)}, {"upgrade_available", trial}, {"bootcount", "0"}}});
  }
};

template <class T>
Result<std::unique_ptr<BootControl>> OpenStyle(const SlotsConfig& config) {
  UbootEnv env = TRY(UbootEnv::Open(config.environment));
  TRY(env.Read());  // now, not in the middle of an update
  return std::make_unique<T>(std::move(env));
}

}  // namespace

Result<std::unique_ptr<BootControl>> OpenBootOrder(const SlotsConfig& config) {
  return OpenStyle<BootOrder>(config);
}

Result<std::unique_ptr<BootControl>> OpenBootCount(const SlotsConfig& config) {
  return OpenStyle<BootCount>(config);
}

}  // namespace wherry::board
