// The resolver at 127.0.0.11 of every container in a network with a bridge: names of containers in
// its networks, in overlay networks also those on other devices, everything else passed on to the
// host's name servers, whose file is read again when it changes. Loop thread only. Bounded for each
// container, so that none starves the others.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "engine/network/dns_forward.h"
#include "engine/network/networks.h"
#include "engine/network/peer_names.h"

namespace wherry::engine {

class Resolver {
 public:
  Resolver(Loop* loop, const Networks* networks);
  ~Resolver();

  struct Service {
    std::string container_id;
    UniqueFd udp;
    UniqueFd tcp;
    std::vector<std::string> servers;  // empty: the host's
  };
  // Takes the place of an earlier one of that container.
  void Serve(Service service);
  void Stop(const std::string& container_id);
  // After containers have come into networks or left them.
  void NetworksChanged() { peers_.Follow(); }

 private:
  class Box;

  Loop* loop_;
  const Networks* networks_;
  PeerServer peers_;
  std::map<std::string, std::unique_ptr<Box>, std::less<>> boxes_;
};

// The addresses of the lines "nameserver" of a resolv.conf.
std::vector<std::string> NameServers(std::string_view file);

}  // namespace wherry::engine
