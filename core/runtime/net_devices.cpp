#include "core/runtime/net_devices.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/netlink.h"
#include "core/sys/process.h"

namespace wherry::runtime {

namespace {

using sys::BytesOf;
using sys::NetlinkMessage;
using sys::NetlinkWriter;

constexpr int kDumpAttempts = 5;

// One to be given again: what the kernel takes away with the namespace.
struct Address {
  ifaddrmsg header;
  std::vector<uint8_t> attributes;
};

Result<int> IndexOf(sys::NetlinkSocket& socket, const std::string& name) {
  NetlinkWriter request;
  request.Start(RTM_GETLINK, NLM_F_ACK, BytesOf(ifinfomsg{}));
  request.Text(IFLA_IFNAME, name);
  int index = 0;
  TRY(socket.Call(request, "look up", [&index](const NetlinkMessage& message) {
    index = message.Header<ifinfomsg>().value_or(ifinfomsg{}).ifi_index;
  }));
  return index;
}

class Mover {
 public:
  Mover(sys::NetlinkSocket& host, sys::NetlinkSocket& inside, int netns)
      : host_(host), inside_(inside), netns_(netns) {}

  Result<> Move(const oci::NetDevice& device);

 private:
  Result<std::vector<Address>> Addresses(int index);
  // Sets or clears IFF_UP.
  static NetlinkWriter Switch(int index, unsigned int flags);

  sys::NetlinkSocket& host_;
  sys::NetlinkSocket& inside_;
  int netns_;
};

NetlinkWriter Mover::Switch(int index, unsigned int flags) {
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = flags;
  header.ifi_change = IFF_UP;
  NetlinkWriter request;
  request.Start(RTM_NEWLINK, NLM_F_ACK, BytesOf(header));
  return request;
}

Result<std::vector<Address>> Mover::Addresses(int index) {
  constexpr uint16_t kKept[] = {IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST};
  std::vector<Address> found;
  auto take = [&](const NetlinkMessage& message) {
    std::optional<ifaddrmsg> header = message.Header<ifaddrmsg>();
    if (!header || header->ifa_index != static_cast<uint32_t>(index) ||
        (header->ifa_flags & IFA_F_PERMANENT) == 0 || header->ifa_scope != RT_SCOPE_UNIVERSE) {
      return;
    }
    NetlinkWriter kept;
    kept.Start(RTM_NEWADDR, 0, {});
    size_t start = kept.bytes().size();
    for (uint16_t type : kKept) {
      if (auto attribute = sys::FindAttribute(message.Attributes(sizeof(ifaddrmsg)), type))
        kept.Bytes(type, attribute->value);
    }
    std::span<const uint8_t> attributes = kept.bytes().subspan(start);
    found.push_back({*header, {attributes.begin(), attributes.end()}});
  };
  for (int attempt = 1;; ++attempt) {
    found.clear();
    NetlinkWriter request;
    request.Start(RTM_GETADDR, NLM_F_ACK | NLM_F_DUMP, BytesOf(ifaddrmsg{}));
    Result<> listed = host_.Call(request, "list addresses", take);
    if (listed)
      return found;
    if (listed.error().code() != Errc::kBusy || attempt == kDumpAttempts)
      return std::unexpected(std::move(listed).error());
  }
}

Result<> Mover::Move(const oci::NetDevice& device) {
  int index = TRY(IndexOf(host_, device.name));
  // The kernel would only notice when the device is there, and it would go with the namespace.
  if (IndexOf(inside_, device.inside))
    return Fail(Errc::kExists, Cat("the container has a device ", device.inside, " already"));
  std::vector<Address> addresses = TRY(Addresses(index));
  NetlinkWriter down = Switch(index, 0);
  TRY(host_.Call(down, "switch off"));
  ifinfomsg header{};
  header.ifi_index = index;
  NetlinkWriter move;
  move.Start(RTM_NEWLINK, NLM_F_ACK, BytesOf(header));
  move.Text(IFLA_IFNAME, device.inside);
  move.Value(IFLA_NET_NS_FD, static_cast<uint32_t>(netns_));
  TRY(host_.Call(move, Cat("move to the container as ", device.inside)));
  // The kernel may have had to give it another number.
  index = TRY(IndexOf(inside_, device.inside));
  for (Address& address : addresses) {
    address.header.ifa_index = static_cast<uint32_t>(index);
    NetlinkWriter add;
    add.Start(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, BytesOf(address.header));
    add.Raw(address.attributes);
    TRY(inside_.Call(add, "add address"));
  }
  NetlinkWriter up = Switch(index, IFF_UP);
  return inside_.Call(up, "switch on");
}

// Without a thread; the caller comes back to its own namespace.
Result<sys::NetlinkSocket> OpenInside(int netns) {
  UniqueFd own = TRY(Open("/proc/self/ns/net", O_RDONLY));
  TRY(sys::JoinNamespace(netns, CLONE_NEWNET));
  Result<sys::NetlinkSocket> made = sys::NetlinkSocket::Open(sys::NetlinkFamily::kRoute);
  TRY(sys::JoinNamespace(own.get(), CLONE_NEWNET));
  return made;
}

}  // namespace

Result<> MoveNetDevices(const std::vector<oci::NetDevice>& devices, pid_t pid) {
  if (devices.empty())
    return {};
  UniqueFd netns = TRY(Open(Cat("/proc/", pid, "/ns/net"), O_RDONLY));
  sys::NetlinkSocket host = TRY(sys::NetlinkSocket::Open(sys::NetlinkFamily::kRoute));
  sys::NetlinkSocket inside = TRY(OpenInside(netns.get()));
  Mover mover(host, inside, netns.get());
  for (const oci::NetDevice& device : devices)
    TRY_CTX(Cat("linux.netDevices ", device.name), mover.Move(device));
  return {};
}

}  // namespace wherry::runtime
