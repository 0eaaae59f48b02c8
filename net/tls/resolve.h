// Addresses of a host by c-ares, without blocking the loop: /etc/hosts, then the name servers of
// /etc/resolv.conf, both read anew for each look-up.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/loop.h"
#include "core/base/result.h"

namespace wherry::tls {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const {
    const void* bytes = &storage;
    return static_cast<const sockaddr*>(bytes);
  }
};

class Resolve {
 public:
  using Done = std::move_only_function<void(Result<std::vector<Address>>)>;

  // `done` is called once, from the loop, unless this is destroyed before; it may destroy this. The
  // best addresses come first (RFC 6724), at most eight. kUnavailable: the name is not known,
  // kTimeout: no name server answers.
  Resolve(Loop* loop, std::string host, uint16_t port, Done done);
  ~Resolve();
  Resolve(const Resolve&) = delete;
  Resolve& operator=(const Resolve&) = delete;

 private:
  class Query;
  std::unique_ptr<Query> query_;
};

}  // namespace wherry::tls
