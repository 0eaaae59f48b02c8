// Rules of nf_tables as netlink messages: conditions, then one verdict. Registers and expressions
// are those of linux/netfilter/nf_tables.h. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "core/sys/netlink.h"
#include "net/link/address.h"

namespace wherry::net {

// Names every message of nf_tables: type of the family IPv4 with its header.
void StartNft(sys::NetlinkWriter& out, uint16_t message, uint16_t flags);

// Appends one NFT_MSG_NEWRULE at the end of a chain; complete when the object is destroyed.
class NftRule {
 public:
  NftRule(sys::NetlinkWriter& out, std::string_view table, std::string_view chain);

  // Conditions: all must hold.
  NftRule& In(std::string_view device) { return Device(kIn, device, kEqual); }
  NftRule& NotIn(std::string_view device) { return Device(kIn, device, kOther); }
  NftRule& Out(std::string_view device) { return Device(kOut, device, kEqual); }
  NftRule& NotOut(std::string_view device) { return Device(kOut, device, kOther); }
  NftRule& From(const Subnet& subnet) { return Address(kSourceOffset, subnet); }
  NftRule& To(const Subnet& subnet) { return Address(kDestinationOffset, subnet); }
  NftRule& ToThisHost();                             // any address of this host
  NftRule& ToPort(uint8_t protocol, uint16_t port);  // IPPROTO_*
  NftRule& OfTunnel(uint32_t vni);                   // after ToPort: of VXLAN
  NftRule& Known();                                  // ct state established,related
  NftRule& Redirected();                             // its destination has been changed by NAT

  // Verdicts: exactly one, last.
  void Accept();
  void Drop();
  void Jump(std::string_view chain);
  void Masquerade();
  void RedirectTo(Ipv4 address, uint16_t port);

 private:
  struct Number {
    uint16_t attribute;
    uint32_t value;
  };
  enum Side : uint32_t { kIn, kOut };
  enum Comparison : uint32_t { kEqual, kOther };
  static constexpr uint32_t kSourceOffset = 12;  // in the IPv4 header
  static constexpr uint32_t kDestinationOffset = 16;

  NftRule& Device(Side side, std::string_view name, Comparison comparison);
  NftRule& Address(uint32_t offset, const Subnet& subnet);
  // An expression whose attributes are all numbers.
  void Plain(std::string_view name, std::initializer_list<Number> numbers);
  // The same with bytes nested in `attribute`, as comparisons and constants have them.
  void WithData(std::string_view name, std::initializer_list<Number> numbers, uint16_t attribute,
                std::span<const uint8_t> data);
  void Load(uint32_t base, uint32_t offset, uint32_t size);  // bytes of the packet
  void Compare(Comparison comparison, std::span<const uint8_t> data);
  void Mask(std::span<const uint8_t> mask);
  void TestBits(uint32_t key, uint32_t bits);  // of the connection: any of them is set
  void Verdict(int32_t code, std::string_view chain);

  sys::NetlinkWriter& out_;
  // In this order: the list closes first.
  struct Head {
    Head(sys::NetlinkWriter& out, std::string_view table, std::string_view chain);
  } head_;
  sys::NetlinkWriter::Nest expressions_;
};

}  // namespace wherry::net
