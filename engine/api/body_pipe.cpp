#include "engine/api/body_pipe.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "engine/api/api.h"

namespace wherry::engine::api {

namespace {

constexpr size_t kHighWater = size_t{256} << 10;
constexpr size_t kLowWater = size_t{64} << 10;
// How often a waiting worker looks whether it has been cancelled.
constexpr std::chrono::milliseconds kPeriod{200};

}  // namespace

// --- Upload

void UploadPipe::Begin() {
  exchange_->OnClose([self = shared_from_this()] {
    self->cancel_->store(true);
    self->changed_.notify_all();
  });
  exchange_->OnBody([self = shared_from_this()](std::string_view bytes) { self->Arrived(bytes); });
}

void UploadPipe::Arrived(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  ended_ = ended_ || bytes.empty();
  bytes_.append(bytes);
  if (bytes_.size() - taken_ >= kHighWater && !paused_) {
    paused_ = true;
    exchange_->PauseBody(true);
  }
  changed_.notify_all();
}

void UploadPipe::Resume() {
  std::lock_guard lock(mutex_);
  paused_ = false;
  exchange_->PauseBody(false);
}

Result<size_t> UploadPipe::Read(std::span<std::byte> out) {
  std::unique_lock lock(mutex_);
  while (taken_ == bytes_.size() && !ended_ && !cancel_->load())
    changed_.wait_for(lock, kPeriod);
  if (cancel_->load())
    return Fail(Errc::kCancelled, "the client went away in the middle of the upload");
  size_t count = std::min(out.size(), bytes_.size() - taken_);
  memcpy(out.data(), bytes_.data() + taken_, count);
  taken_ += count;
  bool low = bytes_.size() - taken_ <= kLowWater;
  if (taken_ == bytes_.size() || taken_ >= kHighWater) {
    bytes_.erase(0, taken_);
    taken_ = 0;
  }
  if (paused_ && low)
    loop_->Post([self = shared_from_this()] { self->Resume(); });
  return count;
}

// --- Download

void DownloadPipe::Begin() {
  exchange_->OnClose([self = shared_from_this()] {
    self->cancel_->store(true);
    self->changed_.notify_all();
  });
}

void DownloadPipe::AddHeader(std::string name, std::string value) {
  std::lock_guard lock(mutex_);
  headers_.push_back({std::move(name), std::move(value)});
}

Result<> DownloadPipe::Write(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  while (bytes_.size() >= kHighWater && !cancel_->load())
    changed_.wait_for(lock, kPeriod);
  if (cancel_->load())
    return Fail(Errc::kCancelled, "the client went away in the middle of the download");
  bytes_.append(bytes);
  if (!flush_posted_) {
    flush_posted_ = true;
    loop_->Post([self = shared_from_this()] { self->Flush(); });
  }
  return {};
}

// What the connection has not sent counts too: the next piece is taken when all is gone.
void DownloadPipe::Flush() {
  if (exchange_ == nullptr)
    return;  // ended by an error
  std::string bytes;
  {
    std::lock_guard lock(mutex_);
    bytes.swap(bytes_);
  }
  if (!bytes.empty() && !started_) {
    started_ = true;
    exchange_->StartStream(200, std::move(headers_));
    exchange_->OnDrain([self = shared_from_this()] { self->Flush(); });
  }
  exchange_->Write(bytes);
  bool drains = exchange_->pending() > 0;  // which calls again
  std::lock_guard lock(mutex_);
  bool more = !bytes_.empty() && !drains;  // that came meanwhile
  flush_posted_ = drains || more;
  if (more)
    loop_->Post([self = shared_from_this()] { self->Flush(); });
  changed_.notify_all();
}

void DownloadPipe::Finish(const Result<>& result) {
  if (!result && !started_)
    return ReplyError(*exchange_, result.error());
  if (!result) {
    exchange_.reset();
    return;
  }
  Flush();
  exchange_->End();
}

}  // namespace wherry::engine::api
