// Docker's statistics of one container (docker-api.md 4.5): once, or one object per second until
// the client or the container goes. Loop thread only; samples are taken on workers. Keeps itself
// alive until it is done.
#pragma once

#include <memory>
#include <string>

#include "engine/api/api.h"
#include "engine/container.h"
#include "engine/container_stats.h"

namespace wherry::engine::api {

std::string StatsJson(const Container& container, const StatsSample& now,
                      const StatsSample& before);

class StatsStream : public std::enable_shared_from_this<StatsStream> {
 public:
  // kOnce waits a second for a sample to compare with; kOneShot does without.
  enum class Mode : uint8_t { kFollow, kOnce, kOneShot };
  StatsStream(const Services& services, ContainerPtr container, http::ExchangePtr exchange,
              Mode mode)
      : services_(services),
        container_(std::move(container)),
        exchange_(std::move(exchange)),
        mode_(mode) {}

  void Begin();

 private:
  void Sample();
  void Arrived(Result<StatsSample> sample);
  void SampleLater();

  Services services_;
  ContainerPtr container_;
  http::ExchangePtr exchange_;
  const Mode mode_;
  StatsSample before_;
  bool first_ = true;
  bool gone_ = false;  // the client
  Loop::TimerId timer_ = 0;
};

}  // namespace wherry::engine::api
