// Makes a connection to a host and port: looks the name up, tries its addresses in turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/loop.h"
#include "net/tls/channel.h"
#include "net/tls/config.h"
#include "net/tls/resolve.h"

namespace wherry::tls {

struct Target {
  std::string host;
  uint16_t port = 0;
  std::shared_ptr<const Config> tls;  // absent: a plain connection

  std::string name() const;  // "host:port", as errors call it
};

class Dialer {
 public:
  // A channel whose TLS handshake is still to be made, or why there is none.
  using Done = std::move_only_function<void(Result<std::unique_ptr<Channel>>)>;

  // `done` is called once, from the loop, unless this is destroyed before; it may destroy this.
  // `patience` is for each address.
  Dialer(Loop* loop, Target target, std::chrono::seconds patience, Done done);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

 private:
  void TryNext();
  Result<> Try(const Address& address);
  void OnEvents();
  void Failed(int error_number);
  void Connected();
  void Forget();
  void Finish(Result<std::unique_ptr<Channel>> result);

  Loop* loop_;
  Target target_;
  std::chrono::seconds patience_;
  Done done_;
  std::unique_ptr<Resolve> resolve_;
  std::vector<Address> addresses_;
  size_t next_ = 0;
  int last_error_ = 0;
  UniqueFd fd_;
  Loop::TimerId timer_ = 0;
};

}  // namespace wherry::tls
