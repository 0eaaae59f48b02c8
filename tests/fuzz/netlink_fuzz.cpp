// Answers by netlink: the reading of messages, errors of the kernel, devices, addresses and routes.
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>

#include "core/sys/netlink.h"
#include "net/link/link_reply.h"
#include "net/link/nft_error.h"

namespace {

using wherry::sys::NetlinkMessage;

void Parse(const NetlinkMessage& message) {
  NetlinkMessage typed = message;
  for (uint16_t type : {RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE}) {
    typed.type = type;
    (void)wherry::net::ParseLink(typed);
    (void)wherry::net::ParseAddress(typed);
    (void)wherry::net::ParseRoute(typed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
    return 0;
  wherry::sys::NetlinkSocket socket{wherry::UniqueFd(pair[0])};
  wherry::UniqueFd kernel(pair[1]);
  (void)send(kernel.get(), data, size, 0);
  wherry::sys::NetlinkWriter request;
  request.Start(RTM_GETLINK, NLM_F_ACK, {});
  (void)socket.Call(request, "fuzz", &Parse);
  NetlinkMessage whole;
  whole.body = {data, size};
  Parse(whole);
  uint32_t offset = size >= sizeof offset ? *whole.Header<uint32_t>() : 0;
  for (uint32_t at : {offset, offset % 256})
    (void)wherry::net::ExplainNftError(wherry::Error::Sys(ENOENT, "netlink"), whole.body, at);
  return 0;
}
