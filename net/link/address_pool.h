// Which subnet a network gets, and which address a container. Pure; no thread safety.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "net/link/address.h"

namespace wherry::net {

// The first of Docker's default pools (172.17.0.0/16 to 172.31.0.0/16, then the /20 of
// 192.168.0.0/16) that overlaps none of `used`: the host's addresses and routes, and the networks
// that exist. kNoSpace when all do.
Result<Subnet> ChooseSubnet(std::span<const Subnet> used);

// The addresses of one network.
class AddressPool {
 public:
  // `gateway`: 0.0.0.0 takes the first address of the subnet. `range`: only its addresses are given
  // out by Allocate (Docker's --ip-range); by default all of the subnet. Network address, broadcast
  // address and gateway are never given out. kInvalid when the subnet has no room for a container
  // (prefix above 30) or gateway or range lie outside of it.
  static Result<AddressPool> Create(Subnet subnet, Ipv4 gateway = {},
                                    std::optional<Subnet> range = std::nullopt);

  const Subnet& subnet() const { return subnet_; }
  Ipv4 gateway() const { return gateway_; }
  // Addresses taken, the gateway not among them.
  size_t used() const { return used_.size(); }

  // The next free address after the one given out last, from the front again after the end: one
  // just released comes back last. kNoSpace when all are taken.
  Result<Ipv4> Allocate();
  // Takes this address. kInvalid outside of the subnet and for its network, broadcast and gateway
  // addresses, kConflict when it is taken.
  Result<> Reserve(Ipv4 address);
  // Gives it back; nothing happens when it is not taken.
  void Release(Ipv4 address);

 private:
  AddressPool(Subnet subnet, Ipv4 gateway, Ipv4 first, Ipv4 last)
      : subnet_(subnet), gateway_(gateway), first_(first), last_(last), next_(first) {}

  Subnet subnet_;
  Ipv4 gateway_;
  Ipv4 first_;  // what Allocate gives out, both included
  Ipv4 last_;
  Ipv4 next_;
  std::vector<Ipv4> used_;  // sorted
};

}  // namespace wherry::net
