#include "board/slots.h"

#include <gtest/gtest.h>

#include "board/watchdog.h"
#include "tests/unit/temp_dir.h"

namespace wherry::board {
namespace {

TEST(Slots, NoneIsNoBoard) {
  EXPECT_EQ(Slots::Open({}).value(), nullptr);
  EXPECT_TRUE(IsKind("none"));
  EXPECT_TRUE(IsKind("tryboot"));
  EXPECT_FALSE(IsKind("grub"));
}

TEST(Slots, DevicesAreBlockDevices) {
  TempDir dir;
  std::string file = dir / "slot";
  ASSERT_TRUE(ReplaceFile(file, "x", 0600, Durability::kVolatile));
  SlotsConfig config;
  config.kind = "uboot";
  config.devices = {file, file};
  EXPECT_EQ(Slots::Open(config).error().code(), Errc::kInvalid);
  config.devices[0] = dir / "absent";
  EXPECT_EQ(Slots::Open(config).error().code(), Errc::kNotFound);
}

TEST(Slots, CommandLine) {
  EXPECT_EQ(SlotOfCommandLine("console=ttyAMA0 wherry.slot=B quiet\n").value(), Slot::kB);
  EXPECT_EQ(SlotOfCommandLine("rauc.slot=A").value(), Slot::kA);
  EXPECT_FALSE(SlotOfCommandLine("wherry.slot=C xwherry.slot=A"));
  EXPECT_FALSE(SlotOfCommandLine(""));
}

TEST(Watchdog, AFileIsNone) {
  TempDir dir;
  std::string file = dir / "watchdog";
  ASSERT_TRUE(ReplaceFile(file, "x", 0600, Durability::kVolatile));
  EXPECT_EQ(Watchdog::Open(file, std::chrono::seconds(30)).error().code(), Errc::kInvalid);
  EXPECT_EQ(Watchdog::Open(dir / "absent", std::chrono::seconds(30)).error().code(),
            Errc::kNotFound);
}

}  // namespace
}  // namespace wherry::board
