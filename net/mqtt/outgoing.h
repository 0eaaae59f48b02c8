// Publications of QoS 1 that the broker has not acknowledged, in the order they were given (4.4,
// 4.6). Bounded in memory; what must outlive the process is the caller's to keep.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>

#include "core/base/result.h"
#include "net/mqtt/packet.h"

namespace wherry::mqtt {

using Done = std::move_only_function<void(Result<>)>;

class Outgoing {
 public:
  struct Limits {
    size_t messages = 64;
    size_t bytes = 256 << 10;
  };
  struct Item {
    Publish packet;
    std::chrono::nanoseconds expires{};  // uptime; 0: never
    bool sent_before = false;            // in this session: it is sent again
    bool in_flight = false;              // on this connection
    Done done;
  };

  explicit Outgoing(Limits limits) : limits_(limits) {}

  // kBusy when there is no room; then `done` is not kept.
  Result<> Add(Publish packet, std::chrono::nanoseconds now, Done done);
  // The next to be sent when fewer than `window` are in flight; nullptr: none.
  Item* Next(size_t window);
  // Takes the one with this identifier out; nullopt: there is none in flight.
  std::optional<Item> Take(uint16_t id);
  // Takes the first of those that have expired and are not in flight.
  std::optional<Item> TakeExpired(std::chrono::nanoseconds now);
  bool uses(uint16_t id) const;
  void ConnectionLost();  // all are to be sent again
  void SessionLost();     // as if they had never been sent

  size_t count() const { return items_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  Item Remove(size_t index);

  Limits limits_;
  std::deque<Item> items_;
  size_t bytes_ = 0;
};

}  // namespace wherry::mqtt
