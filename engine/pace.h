// How transfers make room on the disk for the containers: idle priority for what they read, and
// pauses while containers wait for the disk (Linux: Documentation/accounting/psi.rst).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace wherry::engine {

// Other threads are served first from here on. Of the calling thread and those it makes.
void UseDiskLast();

class Pace {
 public:
  // `pressure`: the file io.pressure of the containers' cgroup. Empty, or not there as long as no
  // container runs: never waits.
  explicit Pace(std::string pressure) : pressure_(std::move(pressure)) {}

  // Called again and again by a thread that writes. Waits after each tenth of a second of work, or
  // longer where the kernel held it up: up to nine times as long, at most 2 s, when containers
  // stood still for more than a tenth of the time since it last looked, not at all when they did
  // not. That includes the wait: what was written is written back then.
  void Wait();

 private:
  uint64_t StalledMicros() const;

  const std::string pressure_;
  std::chrono::nanoseconds looked_{};
  uint64_t stalled_ = 0;  // then
  std::chrono::nanoseconds resumed_{};
  unsigned int pause_ = 0;
};

}  // namespace wherry::engine
