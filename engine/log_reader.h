// Reads the log of a container from its files: "log" (being written) and rotated "log.1" (newest)
// to "log.N", in the order in which they were written, also while the shim writes and rotates.
// Blocking (flash): worker threads; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/log_entry.h"

namespace wherry::engine {

struct LogQuery {
  bool with_stdout = true;
  bool with_stderr = true;
  bool timestamps = false;
  bool multiplexed = true;  // Docker's eight byte header before each piece; false for terminals
  int64_t since_nanos = 0;  // unix time; entries before are left out
  int64_t until_nanos = 0;  // unix time; the first later entry ends the log; 0: never
  int64_t tail = -1;        // the last so many lines; -1: all
};

class LogReader {
 public:
  // A directory without log files is an empty log.
  static Result<std::unique_ptr<LogReader>> Open(const std::string& directory,
                                                 const LogQuery& query);

  enum class Progress : uint8_t {
    kMore,      // call again
    kCaughtUp,  // everything that is written was read; call again when there is more
    kFinished,  // the time `until` has come
  };
  // Appends about 64 KiB of output at most.
  Result<Progress> Read(std::string& out);

 private:
  LogReader(std::string directory, UniqueFd directory_fd, const LogQuery& query)
      : directory_(std::move(directory)), directory_fd_(std::move(directory_fd)), query_(query) {}
  Result<> SeekToTail();
  Result<size_t> Fill();                      // reads on; number of bytes, 0 at the end of the file
  Result<bool> IsLive() const;                // the current file is the one being written
  Result<bool> NextFile();                    // false: the current file is the live one
  Result<Progress> Format(std::string& out);  // complete lines of pending_
  bool Wanted(const LogEntry& entry, bool& past_end) const;
  void FormatEntry(const LogEntry& entry, std::string& out);

  std::string directory_;
  UniqueFd directory_fd_;
  LogQuery query_;
  UniqueFd file_;
  std::string pending_;               // read, not yet formatted
  bool in_line_[2] = {false, false};  // stdout, stderr: the last piece did not end its line
};

}  // namespace wherry::engine
