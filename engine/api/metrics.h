// What GET /metrics tells, in the text format of Prometheus (version 0.0.4). Counters begin with
// the daemon. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/events.h"

namespace wherry::engine::api {

struct Services;

class Metrics {
 public:
  // `events` outlives it.
  explicit Metrics(EventBus* events);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // At a bounded cost however often it is asked for: the text is kept for some seconds, the size of
  // the store is measured by a worker some minutes apart and told once it is known.
  std::string Text(const Services& services);

 private:
  void Count(const Event& event);
  void MeasureStore(const Services& services);
  std::string Write(const Services& services) const;

  EventBus* events_;
  EventBus::Subscription subscription_;
  std::chrono::nanoseconds started_;
  uint64_t pulls_ = 0;
  uint64_t starts_ = 0;
  uint64_t ends_ = 0;
  std::string text_;
  std::chrono::nanoseconds written_at_{};
  bool measuring_ = false;
  std::optional<uint64_t> store_bytes_;
  std::chrono::nanoseconds measured_at_{};
};

}  // namespace wherry::engine::api
