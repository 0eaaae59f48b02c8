#include "core/base/read_ahead.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace wherry {

namespace {

constexpr std::chrono::seconds kIdleAfter{2};

}  // namespace

ReadAhead::ReadAhead(ByteSource& inner, std::function<void()> idle)
    : inner_(inner), idle_(std::move(idle)), thread_([this] { Run(); }) {}

void ReadAhead::Stop() {
  if (!thread_.joinable())
    return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadAhead::Run() {
  for (bool more = true; more;) {
    size_t next;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || filled_ - taken_ < kBlocks; });
      if (stop_)
        return;
      next = filled_;
    }
    Result<> outcome;
    more = Fill(blocks_[next % kBlocks], outcome);
    {
      std::lock_guard lock(mutex_);
      ++filled_;
      if (!more)
        outcome_ = std::move(outcome);
    }
    changed_.notify_all();
  }
}

bool ReadAhead::Fill(Block& block, Result<>& outcome) {
  block.used = 0;
  while (block.used < kBlockBytes) {
    auto count = inner_.Read(std::span(block.bytes).subspan(block.used));
    if (!count) {
      outcome = std::unexpected(std::move(count).error());
      return false;
    }
    if (*count == 0)
      return false;
    block.used += *count;
  }
  return true;
}

Result<bool> ReadAhead::Await() {
  std::unique_lock lock(mutex_);
  auto there = [this] { return filled_ > taken_ || outcome_; };
  if (idle_ && !changed_.wait_for(lock, kIdleAfter, there)) {
    lock.unlock();
    idle_();
    lock.lock();
  }
  changed_.wait(lock, there);
  if (filled_ > taken_)
    return true;
  TRY(std::move(*outcome_));
  return false;
}

Result<size_t> ReadAhead::Read(std::span<std::byte> out) {
  while (TRY(Await())) {
    Block& block = blocks_[taken_ % kBlocks];
    size_t count = std::min(out.size(), block.used - position_);
    if (count > 0) {
      memcpy(out.data(), block.bytes.data() + position_, count);
      position_ += count;
      return count;
    }
    position_ = 0;
    {
      std::lock_guard lock(mutex_);
      ++taken_;
    }
    changed_.notify_all();
  }
  return 0;
}

}  // namespace wherry
