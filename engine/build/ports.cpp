#include "engine/build/ports.h"

#include <algorithm>
#include <iterator>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr uint64_t kMaxPort = 65535;

}  // namespace

Result<std::vector<std::string>> ParsePorts(std::string_view text) {
  auto invalid = [&](std::string_view why) {
    return Invalid({"invalid port: \"", Shown(text), "\": ", why});
  };
  std::string_view range = text.substr(text.rfind(':') + 1);
  std::string protocol = "tcp";
  if (auto parts = SplitFirst(range, '/')) {
    range = parts->head;
    if (!parts->tail.empty())
      protocol = ToLower(parts->tail);
  }
  constexpr std::string_view kProtocols[] = {"tcp", "udp", "sctp"};
  if (!IndexOf(kProtocols, protocol))
    return invalid("the protocol is none of tcp, udp and sctp");
  auto ends = SplitFirst(range, '-');
  auto first = ParseUint(ends ? ends->head : range);
  auto last = ParseUint(ends ? ends->tail : range);
  if (!first || !last || *first > kMaxPort || *last > kMaxPort)
    return invalid("it is no number from 0 to 65535");
  if (*last < *first)
    return invalid("the range ends before it begins");
  std::vector<std::string> ports;
  for (uint64_t port = *first; port <= *last; ++port)
    ports.push_back(Cat(port, "/", protocol));
  return ports;
}

}  // namespace wherry::build
