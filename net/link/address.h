// IPv4 addresses and subnets as values, and their text. Pure, thread-safe.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::net {

struct Ipv4 {
  uint32_t value = 0;  // host order: 10.0.0.1 is 0x0a000001; 0 also means "any" or "none"

  auto operator<=>(const Ipv4&) const = default;
  // "10.0.0.1"
  std::string Text() const;
  bool IsLoopback() const { return value >> 24 == 127; }
};

// The addresses that share the first `prefix` bits with `base`, whose other bits are zero.
struct Subnet {
  Ipv4 base;
  uint8_t prefix = 0;  // 0..32

  auto operator<=>(const Subnet&) const = default;
  // "10.0.0.0/8"
  std::string Text() const;
  uint32_t Mask() const { return prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix); }
  Ipv4 Last() const { return {base.value | ~Mask()}; }
  bool Contains(Ipv4 address) const { return (address.value & Mask()) == base.value; }
  bool Overlaps(const Subnet& other) const { return Contains(other.base) || other.Contains(base); }
  // The subnet of that size around an address; `prefix` at most 32.
  static Subnet Around(Ipv4 address, uint8_t prefix);
};

using Mac = std::array<uint8_t, 6>;

// Four decimal numbers without leading zeros. kInvalid naming the text.
Result<Ipv4> ParseIpv4(std::string_view text);
// "10.1.0.0/16"; as in Docker the bits after the prefix are dropped ("10.1.2.3/16" is the same).
// kInvalid naming the text.
Result<Subnet> ParseSubnet(std::string_view text);

// "02:42:ac:11:00:02"
std::string MacText(const Mac& mac);
// Six bytes in hex with colons; kInvalid for another text, and for a group or all-zero address.
Result<Mac> ParseMac(std::string_view text);
// A random, locally administered address.
Mac RandomMac();

}  // namespace wherry::net
