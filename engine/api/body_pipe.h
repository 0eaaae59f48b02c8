// Bodies of any length between the loop, which has the connection, and a worker, which makes or
// reads them: a bounded buffer each, and whoever is faster waits. Both end when the client goes
// away or the daemon ends.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/loop.h"
#include "engine/images.h"
#include "net/http/server.h"

namespace wherry::engine::api {

// A request's body as the worker's source.
class UploadPipe final : public ByteSource, public std::enable_shared_from_this<UploadPipe> {
 public:
  UploadPipe(Loop* loop, http::ExchangePtr exchange)
      : loop_(loop), exchange_(std::move(exchange)) {}

  // Loop thread, once.
  void Begin();
  // Worker. kCancelled when the client is gone.
  Result<size_t> Read(std::span<std::byte> out) override;
  // Set to end it from elsewhere; noticed within a fraction of a second.
  const CancelFlag& cancel() const { return cancel_; }

 private:
  void Arrived(std::string_view bytes);
  void Resume();

  Loop* loop_;
  http::ExchangePtr exchange_;  // loop thread only
  CancelFlag cancel_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string bytes_;    // guarded by mutex_, as all that follows
  size_t taken_ = 0;     // of bytes_
  bool ended_ = false;   // the body is complete
  bool paused_ = false;  // the client has to wait
};

// An answer's body that a worker writes. Nothing is sent before the first piece, so that an error
// can still be an answer of its own.
class DownloadPipe : public std::enable_shared_from_this<DownloadPipe> {
 public:
  // `cancel`: to share that of an upload on the same exchange, whose Begin then counts for both.
  DownloadPipe(Loop* loop, http::ExchangePtr exchange, std::string content_type,
               CancelFlag cancel = std::make_shared<std::atomic<bool>>(false))
      : loop_(loop),
        exchange_(std::move(exchange)),
        cancel_(std::move(cancel)),
        headers_{{"Content-Type", std::move(content_type)}} {}

  // Loop thread, once.
  void Begin();
  // Worker, before the first Write.
  void AddHeader(std::string name, std::string value);
  // Worker. Waits while the client is slow; kCancelled when it is gone.
  Result<> Write(std::string_view bytes);
  // Loop thread, after the last Write. An error after the first piece ends the connection without
  // the end of the body: the client can tell.
  void Finish(const Result<>& result);
  const CancelFlag& cancel() const { return cancel_; }

 private:
  void Flush();

  Loop* loop_;
  http::ExchangePtr exchange_;  // loop thread only
  bool started_ = false;        // loop thread only
  CancelFlag cancel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<http::Header> headers_;  // guarded by mutex_
  std::string bytes_;                  // guarded by mutex_
  bool flush_posted_ = false;          // guarded by mutex_
};

}  // namespace wherry::engine::api
