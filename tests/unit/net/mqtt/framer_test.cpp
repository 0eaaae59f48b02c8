#include "net/mqtt/framer.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "net/mqtt/wire.h"

namespace wherry::mqtt {
namespace {

using namespace std::string_literals;

TEST(MqttFramer, PacketsInAnyPieces) {
  std::string big(300, 'x');
  std::string stream = "\xd0\x00\x40\x02\x00\x01"s + "\x30\xac\x02"s + big + "\xd0\x00"s;
  for (size_t piece : {1u, 2u, 3u, 7u, 100u, 1000u}) {
    Framer framer(1024);
    std::string seen;
    for (size_t i = 0; i < stream.size(); i += piece) {
      auto fed = framer.Feed(std::string_view(stream).substr(i, piece),
                             [&](uint8_t first, std::string_view body) -> Result<> {
                               Append(seen, first, ":", body.size(), " ");
                               return {};
                             });
      ASSERT_TRUE(fed) << fed.error().message();
    }
    EXPECT_EQ(seen, "208:0 64:2 48:300 208:0 ") << piece;
  }
}

TEST(MqttFramer, LengthsThatAreNone) {
  auto reason = [](const std::string& bytes) -> int {
    auto fed = Framer(100).Feed(bytes, [](uint8_t, std::string_view) { return Result<>(); });
    return fed ? 0 : ReasonFor(fed.error());
  };
  EXPECT_EQ(reason("\x30\xff\xff\xff\xff"s), 0x81);
  EXPECT_EQ(reason("\x30\x80\x80\x80\x80\x01"s), 0x81);
  EXPECT_EQ(reason("\x30\x80\x00"s), 0x81);
  EXPECT_EQ(reason("\x30\x63"s), 0x95);  // 101 bytes with its head
  EXPECT_EQ(reason("\x30\x62"s), 0);
  EXPECT_EQ(reason("\x30\xff\xff\xff\x7f"s), 0x95);
  EXPECT_EQ(reason("\x30"s), 0);
  EXPECT_EQ(reason("\x30\xff"s), 0);
}

TEST(MqttFramer, TheFirstErrorEndsIt) {
  int calls = 0;
  auto fed = Framer(100).Feed("\xd0\x00\xd0\x00"s, [&](uint8_t, std::string_view) -> Result<> {
    ++calls;
    return Malformed("x");
  });
  EXPECT_FALSE(fed);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace wherry::mqtt
