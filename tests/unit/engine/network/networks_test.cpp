// Definitions only: containers in networks are the system tests'.
#include "engine/network/networks.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

class NetworksTest : public testing::Test {
 protected:
  Networks::Options Options() { return {directory_.path(), directory_.path(), "wt-none0", {}}; }
  static Network Wanted(std::string name, std::string_view subnet) {
    Network network;
    network.name = std::move(name);
    network.subnet = *net::ParseSubnet(subnet);
    return network;
  }

  TempDir directory_;
};

TEST_F(NetworksTest, SurviveARestart) {
  std::string id;
  {
    Networks networks(Options());
    ASSERT_TRUE(networks.Restore());
    auto created = networks.Create(Wanted("mine", "10.200.0.0/24"));
    ASSERT_TRUE(created) << created.error().message();
    id = created->id;
    EXPECT_EQ(created->gateway.Text(), "10.200.0.1");
    EXPECT_EQ(created->bridge, Cat("br-", id.substr(0, 12)));
  }
  Networks networks(Options());
  ASSERT_TRUE(networks.Restore());
  EXPECT_EQ(networks.List().size(), 4u);
  for (const std::string& name : {std::string("mine"), id, id.substr(0, 8)}) {
    auto found = networks.Find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->id, id);
  }
}

TEST_F(NetworksTest, ConflictsAreNamed) {
  Networks networks(Options());
  ASSERT_TRUE(networks.Restore());
  ASSERT_TRUE(networks.Create(Wanted("mine", "10.200.0.0/24")));
  auto same = networks.Create(Wanted("mine", "10.201.0.0/24"));
  ASSERT_FALSE(same);
  EXPECT_EQ(same.error().code(), Errc::kConflict);
  auto overlapping = networks.Create(Wanted("other", "10.200.0.128/25"));
  ASSERT_FALSE(overlapping);
  EXPECT_NE(overlapping.error().message().find("of network mine"), std::string::npos);
  auto tiny = networks.Create(Wanted("tiny", "10.202.0.0/31"));
  EXPECT_FALSE(tiny);
  auto predefined = networks.Remove("host");
  ASSERT_FALSE(predefined);
  EXPECT_EQ(predefined.error().code(), Errc::kDenied);
}

TEST_F(NetworksTest, ADamagedRecordCostsThatNetworkOnly) {
  ASSERT_TRUE(MakeDirs(directory_ / "networks", 0700));
  ASSERT_TRUE(ReplaceFile(directory_ / "networks/x.json", "{", 0600, Durability::kVolatile));
  Networks networks(Options());
  ASSERT_TRUE(networks.Restore());
  EXPECT_EQ(networks.List().size(), 3u);
}

TEST_F(NetworksTest, PredefinedOnesKeepTheirIds) {
  Networks first(Options());
  Networks second(Options());
  ASSERT_TRUE(first.Restore() && second.Restore());
  EXPECT_EQ(first.Find("bridge")->id, second.Find("bridge")->id);
}

}  // namespace
}  // namespace wherry::engine
