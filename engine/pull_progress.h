// How far a layer has come, told ten times a second in Docker's words.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/base/result.h"
#include "core/oci/image_spec.h"
#include "engine/images.h"

namespace wherry::engine {

// As docker shows it: the beginning of the digest.
std::string ShortName(const oci::Layer& layer);

class PullProgress {
 public:
  // `sink` is borrowed.
  PullProgress(ProgressSink* sink, std::string id, uint64_t total,
               const char* status = "Downloading")
      : sink_(sink), id_(std::move(id)), total_(total), status_(status) {}

  void SetTotal(uint64_t total) { total_ = total; }
  // kCancelled when the sink says so.
  Result<> Count(uint64_t more);

 private:
  ProgressSink* sink_;
  std::string id_;
  uint64_t total_;
  const char* status_;
  uint64_t current_ = 0;
  std::chrono::nanoseconds told_{};
};

}  // namespace wherry::engine
