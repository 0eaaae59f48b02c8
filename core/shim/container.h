// The container as the shim sees it: its output, which goes to the log and to clients, its input,
// its terminal, its end. Part of wherry-shim: no heap, one thread, non-blocking.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "core/shim/fixed_text.h"
#include "core/shim/log_writer.h"
#include "core/shim/protocol.h"

namespace wherry::shim {

// The arguments of the program, see protocol.h.
struct Options {
  const char* id = "";
  pid_t pid = 0;
  bool tty = false;
  bool log = false;
  uint64_t log_size = 0;
  uint32_t log_files = 1;
  bool stdin_once = false;
};

// Memory that is used page by page, apart from the small state that is always in use.
struct Buffers {
  static constexpr size_t kLine = 16 * 1024;
  char log[LogWriter::kBufferSize];
  char out[kLine];
  char err[kLine];
  char input[4096];
};

using RecordText = FixedText<112>;
using StateText = FixedText<176>;

// A piece of output on its way to the clients.
struct Chunk {
  const char* data;
  size_t size;
};

// One output of the container. Lines are collected as Docker does it: whole lines, or 16 KiB parts
// of longer ones.
class Stream {
 public:
  // `buffer`: Buffers::kLine bytes of the caller's.
  void Start(int fd, Kind kind, char* buffer);
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  Kind kind() const { return kind_; }

  // Reads once and logs what became a line; the bytes are then the chunk, valid until the next
  // Read. False when there is nothing to read now or the stream has ended; then open() tells which.
  bool Read(LogWriter& log);
  Chunk chunk() const { return {buffer_ + fresh_, end_ - fresh_}; }
  // Logs an unfinished line and closes.
  void End(LogWriter& log);

 private:
  static constexpr size_t kCapacity = Buffers::kLine;
  // Memory that is touched stays resident: the rest of the buffer is for lines that need it.
  static constexpr size_t kUsual = 4096;

  void LogLines(LogWriter& log);
  void LogPart(LogWriter& log, size_t size, LogWriter::End end, const timespec& now);

  int fd_ = -1;
  Kind kind_ = kStdout;
  size_t begin_ = 0;  // of what is not logged yet
  size_t fresh_ = 0;  // of what the last Read brought
  size_t end_ = 0;
  bool in_parts_ = false;     // the beginning of the line has been logged as a part
  timespec first_part_ = {};  // every part carries the time of the first
  char* buffer_ = nullptr;
};

class Container {
 public:
  void Start(const Options& options, Buffers& buffers);

  Stream& out() { return out_; }
  Stream& err() { return err_; }
  LogWriter& log() { return log_; }
  const Options& options() const { return options_; }

  // Input is put at InputSpace, at most InputRoom bytes, and then written as far as the container
  // takes it. Without anybody to read it, it is swallowed.
  size_t InputRoom() const { return sizeof(Buffers::input) - input_end_; }
  char* InputSpace() { return input_ + input_end_; }
  void InputArrived(size_t size);
  // End of input, after what is kept. A terminal has no end of input.
  void CloseInput();
  // The descriptor to wait for until input can be written again; -1: none.
  int BlockedInput() const { return input_end_ > input_begin_ ? input_fd_ : -1; }
  void FlushInput();

  void Resize(uint16_t rows, uint16_t columns);
  void ReopenLog() { log_.Reopen(); }
  // SIGKILL for every process of the container.
  void Kill();

  // Reaps init and kills what it leaves behind in the cgroup. False while it runs.
  bool Reap();
  bool ended() const { return ended_; }
  // Writes the exit record and removes the cgroup. After Reap, when the output has been logged.
  void Finish();
  // {"code":137,"signal":9,"oom":true,"time_ns":1760000000000000000}
  const RecordText& record() const { return record_; }
  void DescribeState(StateText& json) const;

 private:
  void DropInput();

  Options options_;
  Stream out_;
  Stream err_;
  LogWriter log_;
  bool has_cgroup_ = false;
  bool ended_ = false;
  RecordText record_;

  int input_fd_ = -1;
  bool input_closes_ = false;
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  char* input_ = nullptr;
};

}  // namespace wherry::shim
