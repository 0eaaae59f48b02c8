// The partition is made by Debian's mkfs.vfat, the file is put there and read by its mtools.
#include "board/tryboot.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::board {
namespace {

constexpr std::string_view kText =
    "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";

class TrybootTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { Make(kText); }

  void Make(std::string_view text) {
    ASSERT_TRUE(ReplaceFile(dir_ / "autoboot.txt", text, 0600, Durability::kVolatile));
    Run(Cat("rm -f ", image(), "; mkfs.vfat ", GetParam(), " -C ", image(),
            " 40960 >/dev/null; for i in $(seq 40); do echo $i | mcopy -i ", image(),
            " - ::/a-long-name-", "$i; done; mcopy -i ", image(), " ", dir_ / "autoboot.txt",
            " ::/"));
  }
  std::string image() const { return dir_ / "partition"; }
  std::string Typed() const { return Run(Cat("mtype -i ", image(), " ::/autoboot.txt")); }
  static std::string Run(const std::string& command) {
    FILE* pipe = popen(command.c_str(), "r");
    std::string text;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe))
      text += static_cast<char>(c);
    EXPECT_EQ(pclose(pipe), 0) << command;
    return text;
  }

  TempDir dir_;
};

TEST_P(TrybootTest, CommitChangesOneSector) {
  auto control = OpenTryboot(image(), {2, 3}).value();
  EXPECT_EQ(control->Next().value(), Slot::kA);
  EXPECT_EQ(control->RestartArgument(), "0 tryboot");
  EXPECT_TRUE(control->Arm(Slot::kB));
  EXPECT_EQ(control->Arm(Slot::kA).error().code(), Errc::kConflict);
  std::string before = ReadFile(image(), 64 << 20).value();
  ASSERT_TRUE(control->Commit(Slot::kB, TheOther::kStays));
  EXPECT_EQ(Typed(), "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n");
  std::string after = ReadFile(image(), 64 << 20).value();
  size_t changed = 0;
  for (size_t at = 0; at < before.size(); ++at)
    changed += before[at] != after[at] ? 1 : 0;
  EXPECT_EQ(changed, 2u);
  EXPECT_EQ(control->Next().value(), Slot::kB);
  EXPECT_TRUE(control->Arm(Slot::kA));
  EXPECT_TRUE(control->Commit(Slot::kB, TheOther::kBad));
  EXPECT_EQ(ReadFile(image(), 64 << 20).value(), after);
}

TEST_P(TrybootTest, WhatCannotBeIsRefused) {
  EXPECT_EQ(OpenTryboot(image(), {4, 5}).error().code(), Errc::kInvalid);
  Make("[all]\nboot_partition=2\n[tryboot]\nboot_partition=2\n");
  auto twice = OpenTryboot(image(), {2, 3}).value();
  EXPECT_EQ(twice->Commit(Slot::kB, TheOther::kStays).error().code(), Errc::kInvalid);
  Make("[all]\nboot_partition=2\n[tryboot]\nboot_partition=10\n");
  auto digits = OpenTryboot(image(), {2, 10}).value();
  EXPECT_EQ(digits->Commit(Slot::kB, TheOther::kStays).error().code(), Errc::kUnsupported);
  Make("boot_partition=2\n");
  EXPECT_EQ(OpenTryboot(image(), {2, 3}).error().code(), Errc::kInvalid);
  Make(std::string(600, '#'));
  EXPECT_EQ(OpenTryboot(image(), {2, 3}).error().code(), Errc::kUnsupported);
  Run(Cat("mdel -i ", image(), " ::/autoboot.txt"));
  EXPECT_EQ(OpenTryboot(image(), {2, 3}).error().code(), Errc::kNotFound);
  ASSERT_TRUE(ReplaceFile(image(), std::string(4096, '\0'), 0600, Durability::kVolatile));
  EXPECT_EQ(OpenTryboot(image(), {2, 3}).error().code(), Errc::kInvalid);
}

INSTANTIATE_TEST_SUITE_P(Fat, TrybootTest, testing::Values("-F12 -s64", "-F16", "-F32 -s1"));

}  // namespace
}  // namespace wherry::board
