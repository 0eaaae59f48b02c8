// Sends the log of a container to one client: reads on a worker piece by piece, at the client's
// pace, and with `follow` goes on as the shim writes until the container ends. Loop thread only;
// keeps itself alive until it is done.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "engine/api/api.h"
#include "engine/container.h"
#include "engine/log_reader.h"

namespace wherry::engine::api {

// Where the log goes: the body of an answer or a taken-over connection.
struct LogSink {
  std::move_only_function<void(std::string_view)> write;
  std::move_only_function<size_t()> pending;
  std::move_only_function<void(std::move_only_function<void()>)> on_drain;
  std::move_only_function<void()> end;  // everything has been written; called once unless stopped
};

class LogStream : public std::enable_shared_from_this<LogStream> {
 public:
  LogStream(const Services& services, ContainerPtr container, std::unique_ptr<LogReader> reader,
            LogSink sink)
      : services_(services),
        container_(std::move(container)),
        reader_(std::move(reader)),
        sink_(std::move(sink)) {}

  enum class Follow : uint8_t { kNo, kYes };
  // `until_nanos`: a followed log ends at that time even if nothing is written; 0: never.
  void Begin(Follow follow, int64_t until_nanos);
  // The client is gone: writes nothing more.
  void Stop();

 private:
  struct Piece {
    std::string text;
    LogReader::Progress progress = LogReader::Progress::kMore;
  };
  Result<> WatchFiles();
  void Step();
  void Arrived(Result<Piece> piece);
  void Ending();  // the container has ended or the time has come: read to the end once more
  void Finish();
  void Unwatch();

  Services services_;
  ContainerPtr container_;
  std::shared_ptr<LogReader> reader_;
  LogSink sink_;
  UniqueFd inotify_;
  uint64_t waiter_ = 0;
  Loop::TimerId timer_ = 0;
  bool follow_ = false;
  bool reading_ = false;  // a worker has the reader
  bool again_ = false;    // something happened since the read began
  bool stalled_ = false;  // the client has to read first
  bool done_ = false;
};

}  // namespace wherry::engine::api
