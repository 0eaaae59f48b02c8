// The small pure parts: data types, reasons, back-off, server references.
#include <gtest/gtest.h>

#include "core/base/text.h"
#include "net/mqtt/backoff.h"
#include "net/mqtt/reason.h"
#include "net/mqtt/server_reference.h"
#include "net/mqtt/wire.h"

namespace wherry::mqtt {
namespace {

using namespace std::string_view_literals;

TEST(MqttWire, NumbersOfVariableLength) {
  for (uint32_t value : {0u, 127u, 128u, 16'383u, 16'384u, 2'097'151u, 2'097'152u, kMaxVarint}) {
    WireWriter out;
    out.Varint(value);
    WireReader in(out.bytes());
    auto read = in.Varint();
    ASSERT_TRUE(read) << value;
    EXPECT_EQ(*read, value);
    EXPECT_TRUE(in.empty());
  }
  for (std::string_view bad : {""sv, "\x80"sv, "\xff\xff\xff"sv, "\xff\xff\xff\xff\x01"sv,
                               "\x80\x80\x80\x80\x01"sv, "\x80\x00"sv, "\xff\x80\x00"sv})
    EXPECT_FALSE(WireReader(bad).Varint())
        << HexEncode({reinterpret_cast<const uint8_t*>(bad.data()), bad.size()});
}

TEST(MqttWire, TextIsUtf8) {
  for (std::string_view good :
       {""sv, "a/b"sv, "\xc3\xa9"sv, "\xe2\x82\xac"sv, "\xed\x9f\xbf"sv, "\xee\x80\x80"sv,
        "\xf0\x9f\x9a\xa2"sv, "\xf4\x8f\xbf\xbf"sv, "\xef\xbb\xbf"sv, "\x01"sv})
    EXPECT_TRUE(IsText(good)) << good;
  for (std::string_view bad :
       {"\0"sv, "a\0b"sv, "\x80"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc3"sv, "\xe0\x80\x80"sv,
        "\xe2\x82"sv, "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf0\x80\x80\x80"sv,
        "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv, "\xc3\x28"sv})
    EXPECT_FALSE(IsText(bad)) << bad;
  EXPECT_FALSE(WireReader("\x00\x02\xc0\x80"sv).Text());
  EXPECT_FALSE(WireReader("\x00\x03"
                          "ab"sv)
                   .Text());
}

TEST(MqttWire, TopicsAndFilters) {
  for (const char* good : {"a", "/", "a/b/c", " ", "$SYS/x"}) {
    EXPECT_TRUE(IsTopicName(good)) << good;
    EXPECT_TRUE(IsTopicFilter(good)) << good;
  }
  for (const char* bad : {"", "a/+", "#", "a#"})
    EXPECT_FALSE(IsTopicName(bad)) << bad;
  for (const char* good : {"#", "+", "a/+/b", "a/#", "+/+/#", "/+"})
    EXPECT_TRUE(IsTopicFilter(good)) << good;
  for (const char* bad : {"", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+"})
    EXPECT_FALSE(IsTopicFilter(bad)) << bad;
  EXPECT_FALSE(IsTopicName(std::string(65'536, 'x')));
  EXPECT_TRUE(IsTopicName(std::string(65'535, 'x')));
}

TEST(MqttReason, CodesHaveWords) {
  Error error = ReasonError("broker:1883 refused the message to a", 0x87, "see ACL");
  EXPECT_EQ(error.code(), Errc::kDenied);
  EXPECT_EQ(error.message(),
            "broker:1883 refused the message to a: not authorized; see the broker's access rules "
            "for this device (see ACL)");
  EXPECT_EQ(ReasonError("x", 0x97, "bell\a").message(), "x: a quota is used up");
  EXPECT_EQ(ReasonError("x", 0xfe, "").message(), "x: an unknown reason");
  EXPECT_FALSE(IsFailure(0x10));
  EXPECT_TRUE(IsFailure(0x80));
}

TEST(MqttBackoff, DoublesToItsLimitWithFullJitter) {
  BackoffRange range;
  EXPECT_EQ(Backoff(range, 1, 0).count(), 0);
  EXPECT_EQ(Backoff(range, 1, UINT32_MAX).count(), 999);
  EXPECT_EQ(Backoff(range, 2, UINT32_MAX).count(), 1999);
  EXPECT_EQ(Backoff(range, 5, 1u << 31).count(), 8000);
  EXPECT_EQ(Backoff(range, 10, UINT32_MAX).count(), 299'999);
  EXPECT_EQ(Backoff(range, 4'000'000'000, UINT32_MAX).count(), 299'999);
}

TEST(MqttServerReference, HostsAndPorts) {
  auto text = [](std::string_view reference) {
    auto parsed = ParseServerReference(reference, 8883);
    return parsed ? Cat(parsed->host, " ", parsed->port) : std::string();
  };
  EXPECT_EQ(text("b.example"), "b.example 8883");
  EXPECT_EQ(text("b.example:1884 c.example"), "b.example 1884");
  EXPECT_EQ(text("[fe80::1]:1884"), "fe80::1 1884");
  EXPECT_EQ(text("[::1]"), "::1 8883");
  for (std::string_view bad :
       {"", " ", ":", "a:0", "a:65536", "a:x", "[::1", "[::1]x", "a/b", "user@host", "a\tb", "::1"})
    EXPECT_EQ(text(bad), "") << bad;
  EXPECT_EQ(text(std::string(300, 'a')), "");
}

}  // namespace
}  // namespace wherry::mqtt
