// Plays launcher and daemon for a real wherry-shim: a forked child is the container's init, the
// shim its parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/shim/protocol.h"

namespace wherry::shim {

using std::chrono::milliseconds;

struct Message {
  uint8_t kind = 0;
  std::string payload;
};

// One connection to the shim's socket.
class TestClient {
 public:
  explicit TestClient(const std::string& socket_path);

  bool connected() const { return static_cast<bool>(fd_); }
  void Send(Kind kind, std::string_view payload = {});
  // Without blocking: how many of the bytes the socket took.
  size_t TrySend(std::string_view bytes);
  void Attach(uint8_t flags);  // and waits for kAttached
  // The next message; nullopt at the end or after the time.
  std::optional<Message> Next(milliseconds timeout = milliseconds(30000));
  // Everything until `end` has come: the payloads of `kind` put together.
  std::string Collect(Kind kind, Kind end = kExit);
  // Until the collected payload of `kind` contains `text`.
  std::string CollectUntil(Kind kind, std::string_view text);
  // True when the shim has closed the connection.
  bool AtEnd(milliseconds timeout = milliseconds(30000));
  void Close() { fd_.Reset(); }
  int fd() const { return fd_.get(); }

 private:
  bool ReadExactly(char* buffer, size_t size, milliseconds timeout);
  UniqueFd fd_;
};

struct ShimSetup {
  bool tty = false;
  bool with_stdin = false;
  bool stdin_once = false;
  bool log = true;
  uint64_t log_size = 0;
  int log_files = 1;
  std::string log_dir = {};  // "": a directory of its own
  bool hello = true;         // a watcher says hello at once
  std::string cgroup = {};   // absolute path of a cgroup directory; init is moved into it
};

class ShimUnderTest {
 public:
  // `init` runs in the container's init; its value is the exit status.
  ShimUnderTest(const ShimSetup& setup, const std::function<int()>& init);
  ~ShimUnderTest();

  pid_t pid() const { return pid_; }  // of the shim
  pid_t init_pid() const { return init_pid_; }
  std::string socket_path() const { return state_dir_ + "/" + kSocketName; }
  std::string log_dir() const { return log_dir_; }
  std::string state_dir() const { return state_dir_; }
  TestClient Connect() const { return TestClient(socket_path()); }
  // Waits until the shim has ended with status 0; the text of the exit record.
  std::string Finish(milliseconds timeout = milliseconds(10000));
  bool Running() const;

 private:
  std::string base_;
  std::string state_dir_;
  std::string log_dir_;
  pid_t pid_ = -1;
  pid_t init_pid_ = -1;
};

struct LogEntry {
  std::string log;
  std::string stream;
  std::string time;
};
// All entries of one log file; a test failure for a line that is not JSON.
std::vector<LogEntry> ReadLog(const std::string& path);
// The payload of one stream put together.
std::string JoinLog(const std::vector<LogEntry>& entries, std::string_view stream);

}  // namespace wherry::shim
