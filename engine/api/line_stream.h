// An answer of JSON lines that a worker writes and the loop sends. Before the first line an error
// is an HTTP error, after it one line of the stream.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "engine/api/api.h"
#include "net/http/server.h"

namespace wherry::engine::api {

class LineStream : public std::enable_shared_from_this<LineStream> {
 public:
  LineStream(Loop* loop, http::ExchangePtr exchange)
      : loop_(loop), exchange_(std::move(exchange)) {}

  // Loop thread, once, before the worker starts.
  void Begin();
  // Set when nobody listens any more; to end the work.
  const std::shared_ptr<std::atomic<bool>>& cancel() const { return cancel_; }
  // Worker: false when nobody listens any more. `line` has its line end.
  bool Report(std::string_view line);
  // Loop thread. `error`: null for success.
  void Finish(const Error* error);

 private:
  void Start();
  void Flush();

  Loop* loop_;
  http::ExchangePtr exchange_;
  bool started_ = false;
  std::shared_ptr<std::atomic<bool>> cancel_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;
  std::string lines_;          // guarded by mutex_
  bool flush_posted_ = false;  // guarded by mutex_
};

}  // namespace wherry::engine::api
