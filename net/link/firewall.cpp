#include "net/link/firewall.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>

#include <algorithm>

#include "core/base/text.h"
#include "net/link/link.h"
#include "net/link/nft_error.h"
#include "net/link/nft_rule.h"

namespace wherry::net {

namespace {

using sys::BytesOf;
using sys::NetlinkWriter;

constexpr size_t kMaxInstance = 20;  // kernels before 4.14 take names of 31 bytes
constexpr char kInstanceLetters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
constexpr Subnet kLoopback{{0x7f000000}, 8};

// Chains that only others jump to.
constexpr char kPorts[] = "ports";
constexpr char kLoopbackPorts[] = "loopback-ports";
constexpr char kTunnels[] = "tunnels";

struct ChainRow {
  const char* name;
  const char* type;  // nullptr: jumped to
  uint32_t hook;
  int32_t priority;
};

// clang-format off
constexpr ChainRow kChains[] = {
    {kPorts,         nullptr,  0,                   0},
    {kLoopbackPorts, nullptr,  0,                   0},
    {kTunnels,       nullptr,  0,                   0},
    {"raw",          "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW},
    {"prerouting",   "nat",    NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST},
    {"output",       "nat",    NF_INET_LOCAL_OUT,   NF_IP_PRI_NAT_DST},
    {"postrouting",  "nat",    NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC},
    {"forward",      "filter", NF_INET_FORWARD,     NF_IP_PRI_FILTER},
};
// clang-format on

void StartBatch(NetlinkWriter& batch, uint16_t message) {
  nfgenmsg header{};
  header.nfgen_family = AF_UNSPEC;
  header.version = NFNETLINK_V0;
  header.res_id = sys::Swap16(NFNL_SUBSYS_NFTABLES);
  batch.Start(message, 0, BytesOf(header));
}

void TableMessage(NetlinkWriter& batch, std::string_view table, uint16_t message, uint16_t flags) {
  StartNft(batch, message, flags);
  batch.Text(NFTA_TABLE_NAME, table);
}

void AddChain(NetlinkWriter& batch, std::string_view table, const ChainRow& row, uint32_t policy) {
  StartNft(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  batch.Text(NFTA_CHAIN_TABLE, table);
  batch.Text(NFTA_CHAIN_NAME, row.name);
  if (row.type == nullptr)
    return;
  batch.Text(NFTA_CHAIN_TYPE, row.type);
  batch.Be32(NFTA_CHAIN_POLICY, policy);
  auto hook = batch.Open(NFTA_CHAIN_HOOK);
  batch.Be32(NFTA_HOOK_HOOKNUM, row.hook);
  batch.Be32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(row.priority));
}

// Rules for one state, appended to a batch.
class Ruleset {
 public:
  Ruleset(NetlinkWriter& batch, std::string_view table) : batch_(batch), table_(table) {}

  NftRule In(std::string_view chain) { return {batch_, table_, chain}; }

  void Redirect(const FirewallRules& rules) {
    In("prerouting").ToThisHost().Jump(kPorts);
    In("output").To(kLoopback).Jump(kLoopbackPorts);
    In("output").ToThisHost().Jump(kPorts);
    for (const PublishedPort& port : rules.ports) {
      // Those of 127.0.0.0/8 only for the host: a neighbour may send to that address, too.
      NftRule rule = In(port.host_address.IsLoopback() ? kLoopbackPorts : kPorts);
      if (port.host_address != Ipv4{})
        rule.To({port.host_address, 32});
      rule.ToPort(port.protocol, port.host_port).RedirectTo(port.container, port.container_port);
    }
  }

  void Masquerade(const FirewallNetwork& network) {
    // route_localnet lets 127.0.0.0/8 in from the bridge as well; answers come by other addresses.
    In("raw").In(network.bridge).To(kLoopback).Drop();
    In("postrouting").Out(network.bridge).From(kLoopback).Masquerade();
    // Hairpin: both ends in one subnet would talk past the host's address translation.
    In("postrouting").Out(network.bridge).From(network.subnet).Redirected().Masquerade();
    if (network.masquerade && !network.internal)
      In("postrouting").NotOut(network.bridge).From(network.subnet).Masquerade();
  }

  void Tunnels(const FirewallRules& rules) {
    for (const FirewallNetwork& network : rules.networks)
      In(kTunnels).In(network.bridge).Drop();
    for (const Tunnel& tunnel : rules.tunnels) {
      In("raw").ToPort(IPPROTO_UDP, tunnel.port).OfTunnel(tunnel.vni).Jump(kTunnels);
      In("raw").ToPort(IPPROTO_UDP, tunnel.NamesPort()).Jump(kTunnels);
      for (Ipv4 peer : tunnel.peers) {
        In(kTunnels)
            .From({peer, 32})
            .ToPort(IPPROTO_UDP, tunnel.port)
            .OfTunnel(tunnel.vni)
            .Accept();
        In(kTunnels).From({peer, 32}).ToPort(IPPROTO_UDP, tunnel.NamesPort()).Accept();
      }
    }
    In(kTunnels).Drop();
  }

  void Forward(const FirewallRules& rules) {
    for (const FirewallNetwork& network : rules.networks) {
      if (!network.internal)
        continue;
      In("forward").In(network.bridge).NotOut(network.bridge).Drop();
      In("forward").NotIn(network.bridge).Out(network.bridge).Drop();
    }
    In("forward").Known().Accept();
    for (const FirewallNetwork& network : rules.networks) {
      In("forward").Out(network.bridge).Redirected().Accept();
      In("forward").In(network.bridge).Out(network.bridge).Accept();
      In("forward").Out(network.bridge).Drop();
    }
    for (const FirewallNetwork& network : rules.networks)
      In("forward").In(network.bridge).Accept();
  }

 private:
  NetlinkWriter& batch_;
  std::string_view table_;
};

Result<> Check(const FirewallRules& rules) {
  for (const FirewallNetwork& network : rules.networks) {
    if (!IsLinkName(network.bridge) || network.subnet.prefix == 0 || network.subnet.prefix > 32)
      return Fail(Errc::kInvalid, Cat("firewall: no network can be '", network.bridge, "' with ",
                                      network.subnet.Text()));
  }
  constexpr uint8_t kProtocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
  for (const PublishedPort& port : rules.ports) {
    bool known = std::find(std::begin(kProtocols), std::end(kProtocols), port.protocol) !=
                 std::end(kProtocols);
    if (!known || port.host_port == 0 || port.container_port == 0 || port.container == Ipv4{})
      return Fail(Errc::kInvalid,
                  Cat("firewall: port ", port.host_port, " of protocol ", unsigned{port.protocol},
                      " cannot be published to ", port.container.Text(), ':', port.container_port));
  }
  return {};
}

}  // namespace

Result<Firewall> Firewall::Open(std::string_view instance, int netns) {
  if (instance.empty() || instance.size() > kMaxInstance ||
      instance.find_first_not_of(kInstanceLetters) != std::string_view::npos)
    return Fail(Errc::kInvalid, Cat("'", instance, "' cannot name a firewall table"));
  sys::NetlinkSocket socket = TRY(sys::NetlinkSocket::Open(sys::NetlinkFamily::kNetfilter, netns));
  return Firewall(std::move(socket), instance);
}

Firewall::Firewall(sys::NetlinkSocket socket, std::string_view instance)
    : socket_(std::move(socket)), table_(Cat("wherry-", instance)) {}

Result<> Firewall::Commit(NetlinkWriter& batch, std::string_view what) {
  batch.AskAck();
  StartBatch(batch, NFNL_MSG_BATCH_END);
  sys::NetlinkFault fault;
  Result<> committed = socket_.Call(batch, what, nullptr, &fault);
  if (!committed)
    return std::unexpected(
        ExplainNftError(std::move(committed).error(), batch.message(fault.message), fault.offset));
  return {};
}

Result<> Firewall::Apply(const FirewallRules& rules) {
  TRY(Check(rules));
  if (guards_ == rules.guard_forwarding) {
    if (Result<> applied = Write(rules, Chains::kKeep); applied)
      return applied;
    // Somebody has flushed the ruleset, or an error that comes again.
  }
  guards_.reset();
  TRY(Write(rules, Chains::kReplace));
  guards_ = rules.guard_forwarding;
  return {};
}

// Chains that stay are never without rules: between the end of an old chain and that of its policy,
// packets would be dropped.
Result<> Firewall::Write(const FirewallRules& rules, Chains chains) {
  NetlinkWriter batch;
  StartBatch(batch, NFNL_MSG_BATCH_BEGIN);
  if (chains == Chains::kReplace) {
    // Creating what may be there makes deleting it succeed.
    TableMessage(batch, table_, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    TableMessage(batch, table_, NFT_MSG_DELTABLE, 0);
    TableMessage(batch, table_, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    for (const ChainRow& row : kChains) {
      bool guarded = rules.guard_forwarding && row.hook == NF_INET_FORWARD;
      AddChain(batch, table_, row, guarded ? NF_DROP : NF_ACCEPT);
    }
  } else {
    // All rules of the table.
    StartNft(batch, NFT_MSG_DELRULE, 0);
    batch.Text(NFTA_RULE_TABLE, table_);
  }
  Ruleset ruleset(batch, table_);
  ruleset.Redirect(rules);
  for (const FirewallNetwork& network : rules.networks)
    ruleset.Masquerade(network);
  ruleset.Tunnels(rules);
  ruleset.Forward(rules);
  return Commit(batch, "write firewall rules");
}

Result<> Firewall::Remove() {
  guards_.reset();
  NetlinkWriter batch;
  StartBatch(batch, NFNL_MSG_BATCH_BEGIN);
  TableMessage(batch, table_, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  TableMessage(batch, table_, NFT_MSG_DELTABLE, 0);
  return Commit(batch, "remove firewall rules");
}

}  // namespace wherry::net
