#include "net/link/address_pool.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::net {

namespace {

struct Pool {
  Subnet first;
  uint32_t count;
};

// Docker's default-address-pools for bridges.
constexpr Pool kPools[] = {
    {{{0xac110000}, 16}, 15},  // 172.17.0.0/16 to 172.31.0.0/16
    {{{0xc0a80000}, 20}, 16},  // 192.168.0.0/16 in /20
};

}  // namespace

Result<Subnet> ChooseSubnet(std::span<const Subnet> used) {
  for (const Pool& pool : kPools) {
    for (uint32_t i = 0; i < pool.count; ++i) {
      Subnet candidate = pool.first;
      candidate.base.value += i << (32 - candidate.prefix);
      if (std::none_of(used.begin(), used.end(),
                       [&](const Subnet& other) { return candidate.Overlaps(other); }))
        return candidate;
    }
  }
  return Fail(
      Errc::kNoSpace,
      "all default address pools overlap networks or routes of this host; give the network a "
      "subnet");
}

Result<AddressPool> AddressPool::Create(Subnet subnet, Ipv4 gateway, std::optional<Subnet> range) {
  if (subnet.prefix > 30)
    return Fail(Errc::kInvalid, Cat("subnet ", subnet.Text(), " has no room for a container"));
  Ipv4 first{subnet.base.value + 1};
  Ipv4 last{subnet.Last().value - 1};
  if (gateway == Ipv4{})
    gateway = first;
  if (gateway < first || gateway > last)
    return Fail(Errc::kInvalid,
                Cat("gateway ", gateway.Text(), " is no address of subnet ", subnet.Text()));
  if (range) {
    if (range->prefix < subnet.prefix || !subnet.Contains(range->base))
      return Fail(Errc::kInvalid,
                  Cat("range ", range->Text(), " is not inside subnet ", subnet.Text()));
    first = std::max(first, range->base);
    last = std::min(last, range->Last());
  }
  return AddressPool(subnet, gateway, first, last);
}

Result<Ipv4> AddressPool::Allocate() {
  uint32_t size = last_.value - first_.value + 1;
  for (uint32_t i = 0; i < size; ++i) {
    Ipv4 candidate = next_;
    next_ = candidate == last_ ? first_ : Ipv4{candidate.value + 1};
    auto place = std::lower_bound(used_.begin(), used_.end(), candidate);
    if (candidate == gateway_ || (place != used_.end() && *place == candidate))
      continue;
    used_.insert(place, candidate);
    return candidate;
  }
  return Fail(Errc::kNoSpace, Cat("all addresses of subnet ", subnet_.Text(), " are taken"));
}

Result<> AddressPool::Reserve(Ipv4 address) {
  if (!subnet_.Contains(address))
    return Fail(Errc::kInvalid, Cat(address.Text(), " is outside of subnet ", subnet_.Text()));
  if (address == subnet_.base || address == subnet_.Last() || address == gateway_)
    return Fail(Errc::kInvalid,
                Cat(address.Text(), " is the network, broadcast or gateway address of subnet ",
                    subnet_.Text()));
  auto place = std::lower_bound(used_.begin(), used_.end(), address);
  if (place != used_.end() && *place == address)
    return Fail(Errc::kConflict, Cat("address ", address.Text(), " is taken"));
  used_.insert(place, address);
  return {};
}

void AddressPool::Release(Ipv4 address) {
  auto place = std::lower_bound(used_.begin(), used_.end(), address);
  if (place != used_.end() && *place == address)
    used_.erase(place);
}

}  // namespace wherry::net
