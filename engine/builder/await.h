// A worker that waits for what the loop does: operations on containers answer there. Nothing of the
// worker is referred to by the loop, so either may give up.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "engine/containers.h"

namespace wherry::engine {

// How often a waiting worker looks whether the daemon is ending, after which the loop answers
// nothing.
inline constexpr std::chrono::milliseconds kAwaitPeriod{200};

// `begin` runs on the loop and calls what it is given once.
template <class T>
Result<T> Await(Loop* loop, const std::atomic<bool>& ended,
                std::move_only_function<void(Done<T>)> begin) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<T>> result;
  };
  auto state = std::make_shared<State>();
  loop->Post([state, begin = std::move(begin)]() mutable {
    begin([state](Result<T> result) {
      std::lock_guard lock(state->mutex);
      state->result = std::move(result);
      state->changed.notify_all();
    });
  });
  std::unique_lock lock(state->mutex);
  while (!state->result) {
    if (ended.load())
      return Fail(Errc::kCancelled, "the daemon is ending");
    state->changed.wait_for(lock, kAwaitPeriod);
  }
  return std::move(*state->result);
}

}  // namespace wherry::engine
