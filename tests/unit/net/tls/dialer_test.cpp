#include "net/tls/dialer.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <optional>

#include "core/base/text.h"
#include "net/tls/listener.h"

namespace wherry::tls {
namespace {

using std::chrono::seconds;

uint16_t PortOf(const UniqueFd& fd) {
  sockaddr_in bound{};
  socklen_t size = sizeof(bound);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
  return ntohs(bound.sin_port);
}

std::optional<Result<std::unique_ptr<Channel>>> Dial(Target target) {
  auto loop = std::move(*Loop::Create());
  std::optional<Result<std::unique_ptr<Channel>>> result;
  Dialer dialer(loop.get(), std::move(target), seconds(5), [&](auto outcome) {
    result = std::move(outcome);
    loop->Stop();
  });
  EXPECT_FALSE(result) << "not from inside the constructor";
  auto timer = loop->After(seconds(30), [&] { loop->Stop(); });
  EXPECT_TRUE(loop->Run());
  loop->Cancel(timer);
  return result;
}

TEST(Dialer, ConnectsByAddressAndByName) {
  auto listener = ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(listener);
  for (const char* host : {"127.0.0.1", "localhost"}) {
    auto result = Dial({host, PortOf(*listener), nullptr});
    ASSERT_TRUE(result && *result) << (result ? result->error().message() : "nothing");
    EXPECT_TRUE((**result)->connected());
  }
}

TEST(Dialer, ARefusedConnectionIsNamed) {
  uint16_t port = PortOf(*ListenTcp("127.0.0.1:0"));  // free again
  auto result = Dial({"127.0.0.1", port, nullptr});
  ASSERT_TRUE(result && !*result);
  EXPECT_EQ(result->error().message(), Cat("cannot connect to 127.0.0.1:", port,
                                           ": connection refused; check the address, "
                                           "and that the server is running"));
}

TEST(Dialer, ANameThatIsNotOneIsNamed) {
  auto result = Dial({"no name at all", 1883, nullptr});
  ASSERT_TRUE(result && !*result);
  EXPECT_TRUE(result->error().message().starts_with("cannot find the host no name at all: "))
      << result->error().message();
}

TEST(Dialer, MayBeDestroyedAtAnyTime) {
  auto loop = std::move(*Loop::Create());
  {
    Dialer dialer(loop.get(), {"localhost", 1, nullptr}, seconds(5), [](auto) { FAIL(); });
  }
  loop->After(std::chrono::milliseconds(50), [&] { loop->Stop(); });
  EXPECT_TRUE(loop->Run());
}

TEST(Target, NamesAreAsInAddresses) {
  EXPECT_EQ((Target{"broker", 8883, nullptr}.name()), "broker:8883");
  EXPECT_EQ((Target{"::1", 8883, nullptr}.name()), "[::1]:8883");
}

}  // namespace
}  // namespace wherry::tls
