#include "net/tls/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/base/text.h"

namespace wherry::tls {
namespace {

TEST(TlsListener, ChecksTheAddress) {
  for (const char* good : {"0.0.0.0:2376", "127.0.0.1:0", "[::]:2376", "[::1]:65535"})
    EXPECT_TRUE(CheckListenAddress(good)) << good;
  for (const char* bad : {"", ":", "2376", ":2376", "localhost:2376", "1.2.3:4", "0.0.0.0:65536",
                          "0.0.0.0:-1", "0.0.0.0:", "::1:2376", "[::1:2376", "0.0.0.0:80x"}) {
    auto checked = CheckListenAddress(bad);
    ASSERT_FALSE(checked) << bad;
    EXPECT_EQ(checked.error().code(), Errc::kInvalid);
  }
}

TEST(TlsListener, ATakenPortIsNamed) {
  auto first = ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(first) << first.error().message();
  sockaddr_in bound{};
  socklen_t size = sizeof(bound);
  ASSERT_EQ(getsockname(first->get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
  std::string address = Cat("127.0.0.1:", ntohs(bound.sin_port));
  auto second = ListenTcp(address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kBusy);
  EXPECT_EQ(second.error().message(),
            Cat("another process listens on ", address, "; stop it or choose another port"));
}

}  // namespace
}  // namespace wherry::tls
