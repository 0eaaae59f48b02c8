#include "engine/compose/ports.h"

#include <gtest/gtest.h>

namespace wherry::compose {
namespace {

std::string Ports(std::string_view word) {
  auto ports = ParsePorts(word);
  if (!ports)
    return "error";
  std::string text;
  for (const Port& port : *ports)
    text += "(" + port.address + ")" + port.host + ">" + port.port + " ";
  return text;
}

TEST(Ports, EveryForm) {
  EXPECT_EQ(Ports("80"), "()>80/tcp ");
  EXPECT_EQ(Ports("8080:80/udp"), "()8080>80/udp ");
  EXPECT_EQ(Ports("127.0.0.1:8080:80"), "(127.0.0.1)8080>80/tcp ");
  EXPECT_EQ(Ports("127.0.0.1::80"), "(127.0.0.1)>80/tcp ");
  EXPECT_EQ(Ports("[::1]:8080:80"), "([::1])8080>80/tcp ");
  EXPECT_EQ(Ports("90-91:80-81"), "()90>80/tcp ()91>81/tcp ");
  EXPECT_EQ(Ports("90-95:80"), "()90-95>80/tcp ");
  for (std::string_view word : {"", "x", "80:", "70000", "81-80", "90-91:80-82", "1:2:x", "-1"})
    EXPECT_EQ(Ports(word), "error") << word;
}

}  // namespace
}  // namespace wherry::compose
