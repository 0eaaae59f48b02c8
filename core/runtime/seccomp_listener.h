// Getting the listener of a seccomp filter (SCMP_ACT_NOTIFY) out of a process that may make no
// system call any more once the filter is loaded: the process writes the descriptor's number into a
// page it shares with the runtime and spins until the runtime has taken the descriptor with
// pidfd_getfd (Linux 5.6). Internal to core/runtime.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/process.h"

namespace wherry::runtime {

struct ListenerPage {
  std::atomic<int32_t> number;  // of the descriptor; -1: the filter is not loaded yet
  std::atomic<int32_t> taken;
};
static_assert(std::atomic<int32_t>::is_always_lock_free);

class SharedListener {
 public:
  // The process's side: makes the page.
  static Result<SharedListener> Create();
  // The runtime's side, of a descriptor the process has sent.
  static Result<SharedListener> Open(UniqueFd memory);
  SharedListener(SharedListener&& other) noexcept;
  SharedListener& operator=(SharedListener&&) = delete;
  ~SharedListener();

  int memory() const { return memory_.get(); }
  // Without a system call. Returns when the runtime has it; traps when that never happens.
  void Give(int number);
  // Empty when `sync` has something to read instead: the filter could not be loaded.
  Result<UniqueFd> Take(const sys::PidFd& process, int sync);
  // Lets the process go on.
  void Release() { page_->taken.store(1); }

 private:
  SharedListener(UniqueFd memory, ListenerPage* page) : memory_(std::move(memory)), page_(page) {}

  UniqueFd memory_;
  ListenerPage* page_;
};

}  // namespace wherry::runtime
