#include "net/link/address.h"

#include "core/base/text.h"

namespace wherry::net {

std::string Ipv4::Text() const {
  return Cat(value >> 24, '.', value >> 16 & 255, '.', value >> 8 & 255, '.', value & 255);
}

std::string Subnet::Text() const {
  return Cat(base.Text(), '/', unsigned{prefix});
}

Subnet Subnet::Around(Ipv4 address, uint8_t prefix) {
  Subnet subnet{address, prefix};
  subnet.base.value &= subnet.Mask();
  return subnet;
}

Result<Ipv4> ParseIpv4(std::string_view text) {
  std::vector<std::string_view> parts = Split(text, '.');
  uint32_t value = 0;
  bool valid = parts.size() == 4;
  for (std::string_view part : parts) {
    Result<uint64_t> number = ParseUint(part);
    valid = valid && number && *number <= 255 && (part.size() == 1 || part[0] != '0');
    value = value << 8 | (valid ? static_cast<uint32_t>(*number) : 0);
  }
  if (!valid)
    return Fail(Errc::kInvalid, Cat("'", text, "' is not an IPv4 address such as 10.0.0.1"));
  return Ipv4{value};
}

Result<Subnet> ParseSubnet(std::string_view text) {
  std::optional<Pair> parts = SplitFirst(text, '/');
  if (parts) {
    Result<Ipv4> address = ParseIpv4(parts->head);
    Result<uint64_t> prefix = ParseUint(parts->tail);
    bool plain = parts->tail.size() == 1 || !parts->tail.starts_with('0');
    if (address && prefix && plain && *prefix <= 32)
      return Subnet::Around(*address, static_cast<uint8_t>(*prefix));
  }
  return Fail(Errc::kInvalid, Cat("'", text, "' is not an IPv4 subnet such as 172.30.0.0/16"));
}

std::string MacText(const Mac& mac) {
  std::string text;
  for (uint8_t byte : mac)
    Append(text, text.empty() ? "" : ":", HexEncode({&byte, 1}));
  return text;
}

Result<Mac> ParseMac(std::string_view text) {
  Mac mac{};
  std::vector<std::string_view> parts = Split(text, ':');
  bool valid = parts.size() == mac.size();
  uint8_t any = 0;
  for (size_t i = 0; valid && i < mac.size(); ++i) {
    Result<std::vector<uint8_t>> byte = HexDecode(parts[i]);
    valid = byte && byte->size() == 1;
    mac[i] = valid ? (*byte)[0] : 0;
    any |= mac[i];
  }
  if (!valid || (mac[0] & 1) != 0 || any == 0)
    return Fail(
        Errc::kInvalid,
        Cat("'", text, "' is not the MAC address of one device, such as 02:42:ac:11:00:02"));
  return mac;
}

Mac RandomMac() {
  Mac mac{};
  std::string random = RandomId();
  std::vector<uint8_t> bytes = *HexDecode(std::string_view(random).substr(0, 2 * mac.size()));
  std::copy(bytes.begin(), bytes.end(), mac.begin());
  mac[0] = static_cast<uint8_t>((mac[0] & 0xfc) | 2);  // locally administered, one device
  return mac;
}

}  // namespace wherry::net
