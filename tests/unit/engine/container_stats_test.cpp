#include "engine/container_stats.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

TEST(ParseInterfaces, LeavesOutTheLoopbackInterfaceAndTitles) {
  auto interfaces = ParseInterfaces(
      "Inter-|   Receive                    |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs\n"
      "    lo:     100      1    0    0    0     0          0         0      100       1    0    0 "
      "   0     0       0          0\n"
      "  eth0:18446744073709551615 7 1 2 0 0 0 0 900 8 3 4 0 0 0 0\n"
      "  bad0: 1 2 3\n");
  ASSERT_EQ(interfaces.size(), 1U);
  const InterfaceCounters& eth0 = interfaces[0];
  EXPECT_EQ(eth0.name, "eth0");
  EXPECT_EQ(eth0.rx_bytes, UINT64_MAX);
  EXPECT_EQ(eth0.rx_packets, 7U);
  EXPECT_EQ(eth0.rx_dropped, 2U);
  EXPECT_EQ(eth0.tx_bytes, 900U);
  EXPECT_EQ(eth0.tx_errors, 3U);
  EXPECT_TRUE(ParseInterfaces("").empty());
}

}  // namespace
}  // namespace wherry::engine
