#include "engine/network/peer_names.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::engine {
namespace {

std::optional<PeerName> Parse(std::string_view name) {
  auto question = net::ParseDnsQuestion(net::AskDnsAddresses(1, name));
  EXPECT_TRUE(question) << name;
  return question ? ParsePeerName(*question) : std::nullopt;
}

TEST(PeerName, HasNameAndNumber) {
  auto asked = Parse("web.4711.overlay");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->name, "web");
  EXPECT_EQ(asked->vni, 4711u);
  EXPECT_TRUE(Parse("web.16777215.overlay"));
}

TEST(PeerName, OfAnyOtherFormIsNothing) {
  for (const char* name :
       {"web", "web.overlay", "4711.overlay", "overlay", "web.x.overlay", "web.-1.overlay",
        "web.16777216.overlay", "web.99999999999999999999.overlay", "web.4711.example"})
    EXPECT_FALSE(Parse(name)) << name;
  auto question = net::ParseDnsQuestion(net::AskDnsAddresses(1, "web.4711.overlay"));
  question->type = net::DnsType::kPtr;
  EXPECT_FALSE(ParsePeerName(*question));
}

}  // namespace
}  // namespace wherry::engine
