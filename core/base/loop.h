// The event loop: one thread, epoll, timers, signals, and work posted from other threads. All
// callbacks run on the thread that calls Run. Only Post and Stop may be called from other threads.
// Level triggered.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry {

class Loop {
 public:
  using FdCallback =
      std::move_only_function<void(uint32_t events)>;  // EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR
  using Callback = std::move_only_function<void()>;
  using SignalCallback = std::move_only_function<void(int signal_number)>;
  using TimerId = uint64_t;

  static Result<std::unique_ptr<Loop>> Create();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Watches `fd` (borrowed: Remove it before closing it). A callback may add, change and remove any
  // descriptor, its own included; events already fetched for a removed descriptor are dropped.
  Result<> Add(int fd, uint32_t events, FdCallback callback);
  Result<> Modify(int fd, uint32_t events);
  void Remove(int fd);

  // One shot. Cancelling an unknown or fired timer does nothing. No timer armed: no wake-ups.
  TimerId After(std::chrono::nanoseconds delay, Callback callback);
  void Cancel(TimerId id);

  // Blocks the signals for this thread (call before other threads exist) and delivers them as
  // callbacks.
  Result<> HandleSignals(const std::vector<int>& signals, SignalCallback callback);

  // Runs `callback` on the loop thread, after what is running now. Any thread.
  void Post(Callback callback);
  // Any thread. Run returns after the current callback; called before Run, that Run returns at
  // once.
  void Stop();

  // Returns after Stop, or with the error of epoll_wait.
  Result<> Run();

 private:
  struct Watch;
  Loop() = default;
  void Dispatch(const epoll_event& event);
  void Wake();
  void RunPosted();
  void RunDueTimers();
  void ArmTimer();

  UniqueFd epoll_;
  UniqueFd wake_;    // eventfd
  UniqueFd timer_;   // timerfd, CLOCK_BOOTTIME
  UniqueFd signal_;  // signalfd
  SignalCallback on_signal_;
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::map<std::pair<std::chrono::nanoseconds, TimerId>, Callback> timers_;
  TimerId next_timer_ = 1;
  uint32_t generation_ = 0;  // tells a descriptor number from its next use
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::deque<Callback> posted_;  // guarded by mutex_
};

}  // namespace wherry
