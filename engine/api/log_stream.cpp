#include "engine/api/log_stream.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {
constexpr size_t kHighWater = 256 << 10;
}  // namespace

void LogStream::Begin(Follow follow, int64_t until_nanos) {
  auto self = shared_from_this();
  follow_ = follow == Follow::kYes && HasProcess(container_->state);
  sink_.on_drain([weak = weak_from_this()] {
    auto held = weak.lock();
    if (!held || !held->stalled_)
      return;
    held->stalled_ = false;
    held->Step();
  });
  if (follow_) {
    auto watched = WatchFiles();
    if (!watched) {
      LogWarning("cannot follow the log of container ", container_->name, ": ",
                 watched.error().message());
      follow_ = false;
    }
    waiter_ = services_.containers->Wait(container_, WaitCondition::kNotRunning,
                                         [self](const WaitResult&) { self->Ending(); });
  }
  if (follow_ && until_nanos != 0) {
    timer_ = services_.loop->After(std::chrono::nanoseconds(until_nanos - UnixNanosNow()),
                                   [self] { self->Ending(); });
  }
  Step();
}

void LogStream::Stop() {
  done_ = true;
  Unwatch();
}

Result<> LogStream::WatchFiles() {
  inotify_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_)
    return FailSys("inotify_init1");
  if (inotify_add_watch(inotify_.get(), container_->directory.c_str(),
                        IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return FailSys("inotify_add_watch", container_->directory);
  }
  return services_.loop->Add(inotify_.get(), EPOLLIN, [self = shared_from_this()](uint32_t) {
    auto held = self;  // the callback may be removed while it runs
    char events[4096];
    while (read(held->inotify_.get(), events, sizeof events) > 0)
      continue;
    held->Step();
  });
}

void LogStream::Step() {
  if (done_ || stalled_)
    return;
  if (reading_) {
    again_ = true;
    return;
  }
  reading_ = true;
  again_ = false;
  OnWorker<Piece>(
      services_,
      [reader = reader_]() -> Result<Piece> {
        Piece piece;
        piece.progress = TRY(reader->Read(piece.text));
        return piece;
      },
      [self = shared_from_this()](Result<Piece> piece) { self->Arrived(std::move(piece)); });
}

void LogStream::Arrived(Result<Piece> piece) {
  reading_ = false;
  if (done_)
    return;
  if (!piece) {
    LogWarning("log of container ", container_->name, ": ", piece.error().message());
    return Finish();
  }
  if (!piece->text.empty())
    sink_.write(piece->text);
  if (done_)
    return;
  if (piece->progress == LogReader::Progress::kFinished)
    return Finish();
  if (sink_.pending() > kHighWater) {
    stalled_ = true;
    return;
  }
  if (piece->progress == LogReader::Progress::kMore || again_)
    return Step();
  if (!follow_)
    Finish();
}

void LogStream::Ending() {
  if (done_)
    return;
  follow_ = false;
  Step();
}

void LogStream::Finish() {
  done_ = true;
  Unwatch();
  sink_.end();
}

void LogStream::Unwatch() {
  services_.containers->CancelWait(container_, waiter_);
  services_.loop->Cancel(timer_);
  if (inotify_)
    services_.loop->Remove(inotify_.get());
  inotify_.Reset();
}

}  // namespace wherry::engine::api
