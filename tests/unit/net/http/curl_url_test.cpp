#include "net/http/curl_url.h"

#include <gtest/gtest.h>

namespace wherry::http {
namespace {

TEST(Origin, PartsAndAuthority) {
  auto origin = OriginOf("https://Registry.Example:443/v2/?x=1#y");
  ASSERT_TRUE(origin) << origin.error().message();
  EXPECT_EQ(*origin, (Origin{"https", "registry.example", 443}));
  EXPECT_EQ(origin->authority(), "registry.example");
  EXPECT_EQ(OriginOf("http://h:5000/")->authority(), "h:5000");
  EXPECT_EQ(OriginOf("http://h:443/")->authority(), "h:443");
  EXPECT_EQ(OriginOf("https://[::1]:5000/")->authority(), "[::1]:5000");
  EXPECT_EQ(OriginOf("https://user:secret@h/")->authority(), "h");
}

TEST(Origin, RefusesWhatIsNoWebAddress) {
  for (const char* bad : {"", "h", "/x", "file:///etc/passwd", "ftp://h/", "https://",
                          "https://h:99999/", "https://h:x/"}) {
    auto origin = OriginOf(bad);
    ASSERT_FALSE(origin) << bad;
    EXPECT_EQ(origin.error().code(), Errc::kInvalid);
  }
  EXPECT_EQ(OriginOf("x://h/p?token=secret").error().message().find("secret"), std::string::npos);
}

TEST(Resolve, RelativeAndAbsolute) {
  const std::string base = "https://h:5000/v2/a/blobs/x?y=1";
  EXPECT_EQ(*ResolveUrl(base, "https://other/blob?sig=a%2Fb"), "https://other/blob?sig=a%2Fb");
  EXPECT_EQ(*ResolveUrl(base, "/z"), "https://h:5000/z");
  EXPECT_EQ(*ResolveUrl(base, "?again"), "https://h:5000/v2/a/blobs/x?again");
  EXPECT_EQ(*ResolveUrl(base, "//other/z#part"), "https://other/z");
  EXPECT_EQ(*ResolveUrl(base, "/with space"), "https://h:5000/with%20space");
  EXPECT_FALSE(ResolveUrl(base, "https://"));
}

}  // namespace
}  // namespace wherry::http
