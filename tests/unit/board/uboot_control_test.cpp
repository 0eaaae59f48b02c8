#include "board/uboot_control.h"

#include <gtest/gtest.h>

#include "tests/unit/board/env_file.h"

namespace wherry::board {
namespace {

SlotsConfig ConfigOf(const EnvFile& file) {
  SlotsConfig config;
  config.environment = file.config();
  return config;
}

// What BOOT_ORDER's script in docs/board.md does at each boot.
Slot BootByOrder(const EnvFile& file) {
  std::string text = file.Printed();
  auto has = [&](std::string_view line) { return text.find(line) != std::string::npos; };
  for (char slot : std::string(has("BOOT_ORDER=B") ? "BA" : "AB")) {
    std::string name = Cat("BOOT_", slot, "_LEFT");
    for (int left = 3; left > 0; --left) {
      if (has(Cat(name, "=", left, "\n"))) {
        file.Set(name, Cat(left - 1));
        return slot == 'A' ? Slot::kA : Slot::kB;
      }
    }
  }
  ADD_FAILURE() << "nothing boots:\n" << text;
  return Slot::kA;
}

TEST(BootOrder, TrialThatIsCommitted) {
  EnvFile file("BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\nother=kept\n");
  auto control = OpenBootOrder(ConfigOf(file)).value();
  EXPECT_EQ(control->Next().value(), Slot::kA);
  ASSERT_TRUE(control->Commit(Slot::kA, TheOther::kBad));
  EXPECT_EQ(file.Printed(), "BOOT_A_LEFT=3\nBOOT_B_LEFT=0\nBOOT_ORDER=A B\nother=kept\n");
  ASSERT_TRUE(control->Arm(Slot::kB));
  EXPECT_EQ(control->Next().value(), Slot::kB);
  EXPECT_EQ(BootByOrder(file), Slot::kB);
  ASSERT_TRUE(control->Commit(Slot::kB, TheOther::kStays));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(BootByOrder(file), Slot::kB);
  // Committed, but it does not come up any more: the other one is still good.
  EXPECT_EQ(BootByOrder(file), Slot::kA);
}

TEST(BootOrder, TrialThatFallsBack) {
  EnvFile file("BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n");
  auto control = OpenBootOrder(ConfigOf(file)).value();
  ASSERT_TRUE(control->Arm(Slot::kB));
  EXPECT_EQ(BootByOrder(file), Slot::kB);
  EXPECT_EQ(control->Next().value(), Slot::kA);
  EXPECT_EQ(BootByOrder(file), Slot::kA);
  ASSERT_TRUE(control->Commit(Slot::kA, TheOther::kBad));
  EXPECT_EQ(BootByOrder(file), Slot::kA);
  EXPECT_EQ(control->Next().value(), Slot::kA);
}

TEST(BootCount, OneStoreForEachChange) {
  EnvFile file("boot_slot=A\nbootlimit=1\n");
  auto control = OpenBootCount(ConfigOf(file)).value();
  uint8_t flags = 2;  // of the newest copy: grows by one with each store
  auto stores = [&] {
    std::string bytes = file.Bytes();
    return std::max(bytes[4], bytes[EnvFile::kSize + 4]) - flags;
  };
  ASSERT_TRUE(control->Arm(Slot::kB));
  EXPECT_EQ(stores(), 1);
  EXPECT_EQ(file.Printed(), "boot_slot=B\nbootcount=0\nbootlimit=1\nupgrade_available=1\n");
  EXPECT_EQ(control->Next().value(), Slot::kB);
  file.Set("bootcount", "1");  // U-Boot, at the trial boot
  EXPECT_EQ(control->Next().value(), Slot::kA);
  flags = 4;
  ASSERT_TRUE(control->Commit(Slot::kA, TheOther::kBad));
  EXPECT_EQ(stores(), 1);
  EXPECT_EQ(file.Printed(), "boot_slot=A\nbootcount=0\nbootlimit=1\nupgrade_available=0\n");
  EXPECT_EQ(control->Next().value(), Slot::kA);
}

TEST(UbootControl, DamagedEnvironmentIsRefusedAtOnce) {
  EnvFile file("BOOT_ORDER=A B\n");
  file.Flip(50);
  file.Flip(EnvFile::kSize + 50);
  EXPECT_EQ(OpenBootOrder(ConfigOf(file)).error().code(), Errc::kCorrupt);
  EXPECT_EQ(OpenBootCount(ConfigOf(file)).error().code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace wherry::board
