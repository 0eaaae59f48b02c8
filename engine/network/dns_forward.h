// Queries passed on to name servers of the host. Loop thread only.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "net/dns/message.h"

namespace wherry::engine {

// Together with the port of a socket for each query, what makes answers hard to forge.
uint16_t RandomDnsId();

// One query, to one server after the other, until one answers. Nothing is called back after
// destruction.
class DnsForward {
 public:
  enum class Transport : uint8_t { kUdp, kTcp };
  // An empty answer: nobody answered.
  using Done = std::move_only_function<void(net::DnsMessage answer)>;

  // `servers`: addresses, IPv4 or IPv6, port 53. `query` has been parsed. `done` may destroy this.
  DnsForward(Loop* loop, Transport transport, std::span<const uint8_t> query,
             std::vector<std::string> servers, Done done);
  ~DnsForward();
  DnsForward(const DnsForward&) = delete;
  DnsForward& operator=(const DnsForward&) = delete;

  // Asks the first server; `done` comes later, at once only when none can be asked.
  void Start() { Next(); }

 private:
  void Next();
  bool Ask(const std::string& server);
  void Ready(uint32_t events);
  void Receive();
  void Drop();
  void Finish(net::DnsMessage answer);

  Loop* loop_;
  Transport transport_;
  uint16_t client_id_;
  net::DnsMessage query_;
  std::vector<std::string> servers_;
  size_t next_ = 0;
  Done done_;
  UniqueFd socket_;
  Loop::TimerId timer_ = 0;
  net::DnsMessage out_;  // TCP: what is still to be sent
  net::DnsMessage in_;
};

}  // namespace wherry::engine
