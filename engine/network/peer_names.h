// Names of containers across the devices of overlay networks, by DNS over UDP between the daemons:
// "web.4711.overlay" asks for the container "web" in the network of VXLAN number 4711. It goes
// between the devices' own addresses, never through the network itself, so containers neither see
// the questions nor can answer them. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "engine/network/networks.h"
#include "net/dns/message.h"

namespace wherry::engine {

// One question to all peers of some networks. Nothing is called back after destruction.
class PeerQuestion {
 public:
  // Of the first peer that knows the name; none: no peer does, or those that do are away.
  using Done = std::move_only_function<void(std::vector<net::Ipv4> addresses)>;

  // `name`: one label. `done` may destroy this.
  PeerQuestion(Loop* loop, std::vector<Networks::Remote> remotes, std::string_view name, Done done);
  ~PeerQuestion();
  PeerQuestion(const PeerQuestion&) = delete;
  PeerQuestion& operator=(const PeerQuestion&) = delete;

  // `done` comes later, at once only when no peer can be asked.
  void Start();

 private:
  struct Peer {
    const Networks::Remote* remote;
    net::Ipv4 address;
    net::DnsMessage query;
    bool waits = true;  // for its answer
  };
  void Ask();
  void Receive();
  void Take(Peer& peer, std::span<const uint8_t> answer);
  bool Waits() const;
  void Finish(std::vector<net::Ipv4> addresses);

  Loop* loop_;
  std::vector<Networks::Remote> remotes_;
  std::vector<Peer> peers_;
  Done done_;
  UniqueFd socket_;
  Loop::TimerId timer_ = 0;
  int rounds_ = 0;
};

// Answers the peers of this device's overlay networks.
class PeerServer {
 public:
  PeerServer(Loop* loop, const Networks* networks) : loop_(loop), networks_(networks) {}
  ~PeerServer();
  PeerServer(const PeerServer&) = delete;
  PeerServer& operator=(const PeerServer&) = delete;

  // After containers have come into networks or left them: has open exactly the ports at which
  // peers ask.
  void Follow();

 private:
  void Open(uint16_t port);
  void Receive(uint16_t port);

  Loop* loop_;
  const Networks* networks_;
  std::map<uint16_t, UniqueFd> sockets_;
};

// What a peer asks for; nothing for a question of another form.
struct PeerName {
  std::string name;
  uint32_t vni = 0;
};
std::optional<PeerName> ParsePeerName(const net::DnsQuestion& question);

}  // namespace wherry::engine
