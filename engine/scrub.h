// The background check of the store: everything the images need is read again from time to time,
// slowly, so that failing flash is noticed before the content is needed. What is damaged is told in
// the log and taken out of use, as by `wherry store check`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "store/store.h"

namespace wherry::engine {

struct ScrubOptions {
  std::chrono::seconds interval{0};  // from the end of one pass to the next; 0: never
  uint64_t bytes_per_second = 1 << 20;
  std::string stamp;  // file that keeps the time of the last pass
};

// A thread of its own, at idle priority for processor and disk; it waits while the disk is under
// pressure (Linux: Documentation/accounting/psi.rst).
class Scrub {
 public:
  // `store` must outlive this.
  Scrub(store::Store& store, ScrubOptions options);
  // Breaks off a pass; the next one begins anew.
  ~Scrub();
  Scrub(const Scrub&) = delete;
  Scrub& operator=(const Scrub&) = delete;

 private:
  void Run();
  bool Pass();
  void Stamp() const;
  std::chrono::seconds UntilDue() const;
  // False: to end.
  bool Sleep(std::chrono::nanoseconds time);

  store::Store& store_;
  const ScrubOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace wherry::engine
