#include "core/runtime/seccomp_listener.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

// Tens of seconds on any machine: only a runtime that has died needs longer.
constexpr uint32_t kMostSpins = 2000000000;

Result<void*> Map(int memory) {
  void* page = mmap(nullptr, sizeof(ListenerPage), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (page == MAP_FAILED)
    return FailSys("mmap", "seccomp listener");
  return page;
}

}  // namespace

SharedListener::SharedListener(SharedListener&& other) noexcept
    : memory_(std::move(other.memory_)), page_(std::exchange(other.page_, nullptr)) {}

SharedListener::~SharedListener() {
  if (page_ != nullptr)
    munmap(page_, sizeof(ListenerPage));
}

Result<SharedListener> SharedListener::Create() {
  UniqueFd memory(memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory || ftruncate(memory.get(), sizeof(ListenerPage)) < 0)
    return FailSys("memfd_create", "seccomp listener");
  void* page = TRY(Map(memory.get()));
  return SharedListener(std::move(memory), new (page) ListenerPage{-1, 0});
}

Result<SharedListener> SharedListener::Open(UniqueFd memory) {
  void* page = TRY(Map(memory.get()));
  return SharedListener(std::move(memory), static_cast<ListenerPage*>(page));
}

void SharedListener::Give(int number) {
  page_->number.store(number);
  for (uint32_t spins = 0; page_->taken.load() == 0; ++spins) {
    if (spins == kMostSpins)
      __builtin_trap();
  }
}

Result<UniqueFd> SharedListener::Take(const sys::PidFd& process, int sync) {
  constexpr int kMillisecond = 1;
  while (page_->number.load() < 0) {
    pollfd said{sync, POLLIN, 0};
    if (poll(&said, 1, kMillisecond) > 0)
      return UniqueFd();
  }
  return process.CopyFd(page_->number.load());
}

}  // namespace wherry::runtime
