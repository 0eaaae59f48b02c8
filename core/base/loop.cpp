#include "core/base/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry {

namespace {

constexpr int kEventsPerWait = 16;

// Empties an eventfd or timerfd, whose reads always take 8 bytes.
void Drain(int fd) {
  uint64_t count;
  [[maybe_unused]] ssize_t size = read(fd, &count, sizeof(count));
}

}  // namespace

struct Loop::Watch {
  FdCallback callback;
  uint32_t generation;
};

Result<std::unique_ptr<Loop>> Loop::Create() {
  std::unique_ptr<Loop> loop(new Loop);
  loop->epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_) {
    return FailSys("epoll_create1");
  }
  loop->wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_) {
    return FailSys("eventfd");
  }
  loop->timer_.Reset(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!loop->timer_) {
    return FailSys("timerfd_create");
  }
  Loop* self = loop.get();
  TRY(loop->Add(loop->wake_.get(), EPOLLIN, [self](uint32_t) {
    Drain(self->wake_.get());
    self->RunPosted();
  }));
  TRY(loop->Add(loop->timer_.get(), EPOLLIN, [self](uint32_t) {
    Drain(self->timer_.get());
    self->RunDueTimers();
  }));
  return loop;
}

Loop::~Loop() {
  // What the callbacks own may call Remove, Cancel or Post from its destructor: the members stay
  // usable meanwhile.
  auto posted = std::exchange(posted_, {});
  auto timers = std::exchange(timers_, {});
  auto watches = std::exchange(watches_, {});
}

Result<> Loop::Add(int fd, uint32_t events, FdCallback callback) {
  auto watch = std::make_shared<Watch>(std::move(callback), ++generation_);
  epoll_event event{};
  event.events = events;
  event.data.u64 = uint64_t{watch->generation} << 32 | static_cast<uint32_t>(fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return FailSys("epoll_ctl", Cat("add ", fd));
  }
  watches_.insert_or_assign(fd, std::move(watch));
  return {};
}

Result<> Loop::Modify(int fd, uint32_t events) {
  auto found = watches_.find(fd);
  if (found == watches_.end()) {
    return Fail(Errc::kNotFound, Cat("descriptor ", fd, " is not watched"));
  }
  epoll_event event{};
  event.events = events;
  event.data.u64 = uint64_t{found->second->generation} << 32 | static_cast<uint32_t>(fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return FailSys("epoll_ctl", Cat("modify ", fd));
  }
  return {};
}

void Loop::Remove(int fd) {
  auto watch = watches_.extract(fd);  // its destructor may call back into the loop
  if (!watch.empty()) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
}

Loop::TimerId Loop::After(std::chrono::nanoseconds delay, Callback callback) {
  constexpr auto kForever = std::chrono::nanoseconds(std::chrono::hours(24 * 365 * 100));
  delay = std::clamp(delay, std::chrono::nanoseconds(0), kForever);
  TimerId id = next_timer_++;
  auto [place, added] = timers_.emplace(std::pair(Uptime() + delay, id), std::move(callback));
  if (place == timers_.begin()) {
    ArmTimer();
  }
  return id;
}

void Loop::Cancel(TimerId id) {
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->first.second == id) {
      bool first = it == timers_.begin();
      Callback dropped = std::move(it->second);  // its destructor may call back into the loop
      timers_.erase(it);
      if (first) {
        ArmTimer();
      }
      return;
    }
  }
}

void Loop::ArmTimer() {
  itimerspec spec{};  // all zero disarms
  if (!timers_.empty()) {
    int64_t deadline = std::max<int64_t>(timers_.begin()->first.first.count(), 1);
    spec.it_value.tv_sec = deadline / 1'000'000'000;
    spec.it_value.tv_nsec = static_cast<decltype(spec.it_value.tv_nsec)>(deadline % 1'000'000'000);
  }
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Loop::RunDueTimers() {
  std::chrono::nanoseconds now = Uptime();
  // Timers set by the callbacks wait for the next round, also those with no delay.
  TimerId newest = next_timer_;
  auto due = [&](const auto& timer) {
    return timer.first.first <= now && timer.first.second < newest;
  };
  while (!stop_ && !timers_.empty() && due(*timers_.begin())) {
    Callback callback = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    if (callback) {
      callback();
    }
  }
  ArmTimer();
}

Result<> Loop::HandleSignals(const std::vector<int>& signals, SignalCallback callback) {
  if (signal_) {
    return Fail(Errc::kInternal, "the loop handles signals already");
  }
  sigset_t set;
  sigemptyset(&set);
  for (int number : signals) {
    sigaddset(&set, number);
  }
  if (int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return std::unexpected(Error::Sys(error, "pthread_sigmask"));
  }
  signal_.Reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_) {
    return FailSys("signalfd");
  }
  on_signal_ = std::move(callback);
  return Add(signal_.get(), EPOLLIN, [this](uint32_t) {
    signalfd_siginfo info;
    if (read(signal_.get(), &info, sizeof(info)) == sizeof(info)) {
      on_signal_(static_cast<int>(info.ssi_signo));
    }
  });
}

void Loop::Post(Callback callback) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(callback));
  }
  if (first) {
    Wake();
  }
}

void Loop::Stop() {
  stop_ = true;
  Wake();
}

void Loop::Wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t size = write(wake_.get(), &one, sizeof(one));
}

void Loop::RunPosted() {
  std::deque<Callback> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(posted_);
  }
  while (!batch.empty() && !stop_) {
    Callback callback = std::move(batch.front());
    batch.pop_front();
    callback();
  }
  if (batch.empty()) {
    return;
  }
  // Stopped half way: the rest keeps its turn for the next Run.
  std::lock_guard lock(mutex_);
  posted_.insert(posted_.begin(), std::move_iterator(batch.begin()),
                 std::move_iterator(batch.end()));
  Wake();
}

void Loop::Dispatch(const epoll_event& event) {
  auto fd = static_cast<int>(static_cast<uint32_t>(event.data.u64));
  auto found = watches_.find(fd);
  if (found == watches_.end() || found->second->generation != event.data.u64 >> 32) {
    return;  // removed by an earlier callback of this batch
  }
  std::shared_ptr<Watch> watch = found->second;  // the callback may remove it
  watch->callback(event.events);
}

Result<> Loop::Run() {
  std::array<epoll_event, kEventsPerWait> events;
  while (!stop_) {
    int count = epoll_wait(epoll_.get(), events.data(), kEventsPerWait, -1);
    if (count < 0 && errno != EINTR) {
      return FailSys("epoll_wait");
    }
    for (int i = 0; i < count && !stop_; ++i) {
      Dispatch(events[static_cast<size_t>(i)]);
    }
  }
  stop_ = false;
  return {};
}

}  // namespace wherry
