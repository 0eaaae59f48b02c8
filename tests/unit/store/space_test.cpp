#include "store/space.h"

#include <gtest/gtest.h>

#include "tests/unit/store/files.h"

namespace wherry::store {
namespace {

TEST(Space, FreeSpace) {
  TempDir temp;
  UniqueFd fd = temp.Fd();
  EXPECT_TRUE(CheckFreeSpace(fd.get(), 1, 0));
  for (auto [needed, reserve] :
       {std::pair{UINT64_MAX, uint64_t{0}}, {uint64_t{0}, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}}) {
    auto checked = CheckFreeSpace(fd.get(), needed, reserve);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code(), Errc::kNoSpace);
  }
}

TEST(Space, FileSystemsThatCannotHoldAStore) {
  // procfs is not listed: only /proc is at hand everywhere, and it must pass this check and fail
  // the probe.
  UniqueFd proc = *OpenDir("/proc");
  EXPECT_TRUE(CheckBacking(proc.get(), "/proc"));
  auto probed = ProbeBacking(proc.get(), "/proc");
  EXPECT_FALSE(probed);
}

TEST(Space, ProbeLeavesNothing) {
  SKIP_UNLESS_ROOT();
  TempDir temp;
  UniqueFd fd = temp.Fd();
  EXPECT_TRUE(CheckBacking(fd.get(), temp.path()));
  auto probed = ProbeBacking(fd.get(), temp.path());
  EXPECT_TRUE(probed) << probed.error().message();
  EXPECT_TRUE(ListDir(temp.path())->empty());
}

}  // namespace
}  // namespace wherry::store
