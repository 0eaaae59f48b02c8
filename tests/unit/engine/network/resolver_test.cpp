#include "engine/network/resolver.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

TEST(NameServers, AreTheFirstThree) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(
      NameServers("# nameserver 1.1.1.1\nsearch lan\nnameserver\t192.168.1.1\n nameserver ::1 \n"),
      (Names{"192.168.1.1", "::1"}));
  EXPECT_EQ(NameServers("nameserver 1\nnameserver 2\nnameserver 3\nnameserver 4\n").size(), 3u);
  EXPECT_TRUE(NameServers("").empty());
}

}  // namespace
}  // namespace wherry::engine
