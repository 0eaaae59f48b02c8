#include "net/link/nft_rule.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>

namespace wherry::net {

namespace {

using sys::BytesOf;
using Nest = sys::NetlinkWriter::Nest;

constexpr size_t kDeviceNameBytes = 16;
constexpr uint32_t kPortOffset = 2;  // destination port of TCP, UDP, SCTP and DCCP
constexpr uint32_t kVniOffset = 12;  // UDP, flags, three reserved bytes
constexpr size_t kVniBytes = 3;
// NF_CT_STATE_BIT(IP_CT_ESTABLISHED) and of IP_CT_RELATED.
constexpr uint32_t kKnownStates = 1U << (IP_CT_ESTABLISHED + 1) | 1U << (IP_CT_RELATED + 1);

}  // namespace

void StartNft(sys::NetlinkWriter& out, uint16_t message, uint16_t flags) {
  nfgenmsg header{};
  header.nfgen_family = NFPROTO_IPV4;
  header.version = NFNETLINK_V0;
  out.Start(NFNL_SUBSYS_NFTABLES << 8 | message, flags, BytesOf(header));
}

NftRule::Head::Head(sys::NetlinkWriter& out, std::string_view table, std::string_view chain) {
  StartNft(out, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  out.Text(NFTA_RULE_TABLE, table);
  out.Text(NFTA_RULE_CHAIN, chain);
}

NftRule::NftRule(sys::NetlinkWriter& out, std::string_view table, std::string_view chain)
    : out_(out), head_(out, table, chain), expressions_(out.Open(NFTA_RULE_EXPRESSIONS)) {}

void NftRule::Plain(std::string_view name, std::initializer_list<Number> numbers) {
  WithData(name, numbers, 0, {});
}

void NftRule::WithData(std::string_view name, std::initializer_list<Number> numbers,
                       uint16_t attribute, std::span<const uint8_t> data) {
  Nest element = out_.Open(NFTA_LIST_ELEM);
  out_.Text(NFTA_EXPR_NAME, name);
  Nest inner = out_.Open(NFTA_EXPR_DATA);
  for (const Number& number : numbers)
    out_.Be32(number.attribute, number.value);
  if (!data.empty()) {
    Nest value = out_.Open(attribute);
    out_.Bytes(NFTA_DATA_VALUE, data);
  }
}

void NftRule::Compare(Comparison comparison, std::span<const uint8_t> data) {
  WithData(
      "cmp",
      {{NFTA_CMP_SREG, NFT_REG_1}, {NFTA_CMP_OP, comparison == kEqual ? NFT_CMP_EQ : NFT_CMP_NEQ}},
      NFTA_CMP_DATA, data);
}

void NftRule::Mask(std::span<const uint8_t> mask) {
  constexpr uint32_t kNothing = 0;
  Nest element = out_.Open(NFTA_LIST_ELEM);
  out_.Text(NFTA_EXPR_NAME, "bitwise");
  Nest inner = out_.Open(NFTA_EXPR_DATA);
  out_.Be32(NFTA_BITWISE_SREG, NFT_REG_1);
  out_.Be32(NFTA_BITWISE_DREG, NFT_REG_1);
  out_.Be32(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
  {
    Nest value = out_.Open(NFTA_BITWISE_MASK);
    out_.Bytes(NFTA_DATA_VALUE, mask);
  }
  Nest value = out_.Open(NFTA_BITWISE_XOR);
  out_.Bytes(NFTA_DATA_VALUE, BytesOf(kNothing));
}

NftRule& NftRule::Device(Side side, std::string_view name, Comparison comparison) {
  std::array<uint8_t, kDeviceNameBytes> padded{};
  std::copy_n(name.begin(), std::min(name.size(), padded.size() - 1), padded.begin());
  uint32_t key = side == kIn ? NFT_META_IIFNAME : NFT_META_OIFNAME;
  Plain("meta", {{NFTA_META_KEY, key}, {NFTA_META_DREG, NFT_REG_1}});
  Compare(comparison, padded);
  return *this;
}

void NftRule::Load(uint32_t base, uint32_t offset, uint32_t size) {
  Plain("payload", {{NFTA_PAYLOAD_DREG, NFT_REG_1},
                    {NFTA_PAYLOAD_BASE, base},
                    {NFTA_PAYLOAD_OFFSET, offset},
                    {NFTA_PAYLOAD_LEN, size}});
}

NftRule& NftRule::Address(uint32_t offset, const Subnet& subnet) {
  Load(NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(uint32_t));
  if (subnet.prefix < 32)
    Mask(BytesOf(sys::Swap32(subnet.Mask())));
  Compare(kEqual, BytesOf(sys::Swap32(subnet.base.value)));
  return *this;
}

NftRule& NftRule::ToThisHost() {
  constexpr uint32_t kLocal = RTN_LOCAL;
  Plain("fib", {{NFTA_FIB_DREG, NFT_REG_1},
                {NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE},
                {NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR}});
  Compare(kEqual, BytesOf(kLocal));
  return *this;
}

NftRule& NftRule::ToPort(uint8_t protocol, uint16_t port) {
  Plain("meta", {{NFTA_META_KEY, NFT_META_L4PROTO}, {NFTA_META_DREG, NFT_REG_1}});
  Compare(kEqual, BytesOf(protocol));
  Load(NFT_PAYLOAD_TRANSPORT_HEADER, kPortOffset, sizeof port);
  Compare(kEqual, BytesOf(sys::Swap16(port)));
  return *this;
}

NftRule& NftRule::OfTunnel(uint32_t vni) {
  std::array<uint8_t, kVniBytes> bytes{static_cast<uint8_t>(vni >> 16),
                                       static_cast<uint8_t>(vni >> 8), static_cast<uint8_t>(vni)};
  Load(NFT_PAYLOAD_TRANSPORT_HEADER, kVniOffset, kVniBytes);
  Compare(kEqual, bytes);
  return *this;
}

void NftRule::TestBits(uint32_t key, uint32_t bits) {
  constexpr uint32_t kNone = 0;
  Plain("ct", {{NFTA_CT_KEY, key}, {NFTA_CT_DREG, NFT_REG_1}});
  Mask(BytesOf(bits));
  Compare(kOther, BytesOf(kNone));
}

NftRule& NftRule::Known() {
  TestBits(NFT_CT_STATE, kKnownStates);
  return *this;
}

NftRule& NftRule::Redirected() {
  TestBits(NFT_CT_STATUS, IPS_DST_NAT);
  return *this;
}

void NftRule::Verdict(int32_t code, std::string_view chain) {
  Nest element = out_.Open(NFTA_LIST_ELEM);
  out_.Text(NFTA_EXPR_NAME, "immediate");
  Nest inner = out_.Open(NFTA_EXPR_DATA);
  out_.Be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  Nest data = out_.Open(NFTA_IMMEDIATE_DATA);
  Nest verdict = out_.Open(NFTA_DATA_VERDICT);
  out_.Be32(NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
  if (!chain.empty())
    out_.Text(NFTA_VERDICT_CHAIN, chain);
}

void NftRule::Accept() {
  Verdict(NF_ACCEPT, {});
}

void NftRule::Drop() {
  Verdict(NF_DROP, {});
}

void NftRule::Jump(std::string_view chain) {
  Verdict(NFT_JUMP, chain);
}

void NftRule::Masquerade() {
  Plain("masq", {});
}

void NftRule::RedirectTo(Ipv4 address, uint16_t port) {
  WithData("immediate", {{NFTA_IMMEDIATE_DREG, NFT_REG_1}}, NFTA_IMMEDIATE_DATA,
           BytesOf(sys::Swap32(address.value)));
  WithData("immediate", {{NFTA_IMMEDIATE_DREG, NFT_REG_2}}, NFTA_IMMEDIATE_DATA,
           BytesOf(sys::Swap16(port)));
  Plain("nat", {{NFTA_NAT_TYPE, NFT_NAT_DNAT},
                {NFTA_NAT_FAMILY, NFPROTO_IPV4},
                {NFTA_NAT_REG_ADDR_MIN, NFT_REG_1},
                {NFTA_NAT_REG_PROTO_MIN, NFT_REG_2}});
}

}  // namespace wherry::net
