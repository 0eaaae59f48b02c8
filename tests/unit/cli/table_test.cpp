#include "cli/table.h"

#include <gtest/gtest.h>

namespace wherry::cli {
namespace {

TEST(FormatTable, ColumnsAreAsWideAsTheirLongestCell) {
  EXPECT_EQ(FormatTable({{"ID", "NAME"}, {"12345", "x"}}), "ID      NAME\n12345   x\n");
}

TEST(FormatTable, CountsCharactersNotBytes) {
  EXPECT_EQ(FormatTable({{"COMMAND", "A"}, {"\"long c…\"", "b"}}),
            "COMMAND     A\n\"long c…\"   b\n");
}

}  // namespace
}  // namespace wherry::cli
