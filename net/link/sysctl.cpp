#include "net/link/sysctl.h"

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::net {

namespace {

constexpr char kForwarding[] = "net/ipv4/ip_forward";

}  // namespace

Result<> WriteSysctl(int netns, const std::string& name, std::string_view value) {
  return sys::InNetns(netns, [&] { return WriteExisting(Cat("/proc/sys/", name), value); });
}

Result<std::string> ReadSysctl(int netns, const std::string& name) {
  std::string text;
  TRY(sys::InNetns(netns, [&]() -> Result<> {
    std::string content = TRY(ReadFile(Cat("/proc/sys/", name), 4096));
    text = Trim(content);
    return {};
  }));
  return text;
}

Result<bool> EnableForwarding(int netns) {
  std::string before = TRY(ReadSysctl(netns, kForwarding));
  if (before == "1")
    return false;
  TRY_CTX("forward packets between networks", WriteSysctl(netns, kForwarding, "1"));
  return true;
}

Result<> DisableIpv6(const std::string& device, int netns) {
  Result<> ipv6 = WriteSysctl(netns, Cat("net/ipv6/conf/", device, "/disable_ipv6"), "1");
  if (!ipv6 && ipv6.error().code() != Errc::kNotFound)
    return ipv6;
  return {};
}

Result<> PrepareBridge(const std::string& bridge, int netns) {
  TRY(WriteSysctl(netns, Cat("net/ipv4/conf/", bridge, "/route_localnet"), "1"));
  return DisableIpv6(bridge, netns);
}

}  // namespace wherry::net
