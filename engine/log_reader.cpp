#include "engine/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/shim/protocol.h"
#include "engine/shim_client.h"

namespace wherry::engine {

namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kMaxLine =
    1 << 20;  // 16 KiB of text, six bytes for each at worst: anything longer is no log line

std::string FileName(size_t number) {
  return number == 0 ? std::string(shim::kLogName) : Cat(shim::kLogName, ".", number);
}

// The number of the oldest file; files are numbered without gaps.
size_t OldestNumber(int directory) {
  size_t number = 0;
  while (faccessat(directory, FileName(number + 1).c_str(), F_OK, 0) == 0)
    ++number;
  return number;
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// Calls `visit(line, end)` for the complete lines of a file from the last to the first until it
// returns false; `end` is the offset behind the line. True when all were visited.
template <class Visit>
Result<bool> VisitBackwards(int file, off_t size, Visit visit) {
  std::string data;  // the bytes from `base` on that were not visited
  off_t base = size;
  bool at_line_end = false;
  while (base > 0) {
    size_t count = static_cast<size_t>(std::min<off_t>(base, kChunk));
    std::string block(count, '\0');
    ssize_t got = pread(file, block.data(), count, base - static_cast<off_t>(count));
    if (got < 0 || static_cast<size_t>(got) != count)
      return FailSys("pread", shim::kLogName);
    base -= static_cast<off_t>(count);
    data.insert(0, block);
    if (!at_line_end) {  // a line that is being written has no end yet
      size_t last = data.rfind('\n');
      data.resize(last == std::string::npos ? 0 : last + 1);
      at_line_end = last != std::string::npos;
    }
    while (data.size() > 1 || (base == 0 && !data.empty())) {
      size_t before = data.size() < 2 ? std::string::npos : data.rfind('\n', data.size() - 2);
      if (before == std::string::npos && base > 0)
        break;
      size_t start = before == std::string::npos ? 0 : before + 1;
      std::string_view line = std::string_view(data).substr(start, data.size() - 1 - start);
      if (!visit(line, base + static_cast<off_t>(data.size())))
        return false;
      data.resize(start);
    }
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<LogReader>> LogReader::Open(const std::string& directory,
                                                   const LogQuery& query) {
  UniqueFd fd = TRY(OpenDir(directory));
  std::unique_ptr<LogReader> reader(new LogReader(directory, std::move(fd), query));
  if (query.tail >= 0) {
    TRY(reader->SeekToTail());
  } else {
    TRY(reader->NextFile());
  }
  return reader;
}

// Opens the file with the first of the last `tail` lines and goes there. Lines are counted, not
// entries: a long line is several entries.
Result<> LogReader::SeekToTail() {
  if (query_.tail == 0) {
    auto live = OpenAt(directory_fd_.get(), shim::kLogName, O_RDONLY);
    if (live)
      file_ = std::move(*live);
    if (file_ && lseek(file_.get(), 0, SEEK_END) < 0)
      return FailSys("lseek", directory_);
    return {};
  }
  int64_t remaining = query_.tail;
  bool newest = true;
  LogEntry entry;
  for (size_t number = 0;; ++number) {
    auto file = OpenAt(directory_fd_.get(), FileName(number), O_RDONLY);
    if (!file) {
      if (file.error().code() != Errc::kNotFound)
        return std::unexpected(std::move(file).error());
      break;
    }
    off_t size = lseek(file->get(), 0, SEEK_END);
    off_t start = number == 0 ? size : 0;
    bool all = TRY(VisitBackwards(file->get(), size, [&](std::string_view line, off_t end) {
      if (!ParseLogEntry(line, entry))
        return true;
      if (newest && !entry.ends_line())
        --remaining;  // the newest line is still growing
      newest = false;
      start = end;
      return !entry.ends_line() || remaining-- > 0;
    }));
    file_ = std::move(*file);
    if (lseek(file_.get(), all ? 0 : start, SEEK_SET) < 0)
      return FailSys("lseek", directory_);
    if (!all)
      break;
  }
  return {};
}

Result<size_t> LogReader::Fill() {
  size_t old_size = pending_.size();
  pending_.resize(old_size + kChunk);
  ssize_t count = read(file_.get(), pending_.data() + old_size, kChunk);
  pending_.resize(old_size + (count > 0 ? static_cast<size_t>(count) : 0));
  if (count < 0)
    return FailSys("read", directory_);
  return static_cast<size_t>(count);
}

Result<bool> LogReader::IsLive() const {
  struct stat current{};
  struct stat live{};
  if (!file_)
    return false;
  if (fstat(file_.get(), &current) != 0)
    return FailSys("fstat", directory_);
  return fstatat(directory_fd_.get(), shim::kLogName, &live, 0) == 0 && SameFile(current, live);
}

// The file written after the current one: found by the current one's present name, which changes
// with every rotation.
Result<bool> LogReader::NextFile() {
  struct stat current{};
  if (file_ && fstat(file_.get(), &current) != 0)
    return FailSys("fstat", directory_);
  for (int attempt = 0; attempt < 8; ++attempt) {
    size_t oldest = OldestNumber(directory_fd_.get());
    size_t next = oldest;  // when the current one is gone already
    struct stat info{};
    for (size_t number = 0; file_ && number <= oldest; ++number) {
      bool same = fstatat(directory_fd_.get(), FileName(number).c_str(), &info, 0) == 0 &&
                  SameFile(info, current);
      if (!same)
        continue;
      if (number == 0)
        return false;
      next = number - 1;
      break;
    }
    auto file = OpenAt(directory_fd_.get(), FileName(next), O_RDONLY);
    if (!file && file.error().code() == Errc::kNotFound)
      return false;
    if (!file)
      return std::unexpected(std::move(file).error());
    // A rotation in between would have made us skip a file.
    bool still = !file_ || next == oldest ||
                 (fstatat(directory_fd_.get(), FileName(next + 1).c_str(), &info, 0) == 0 &&
                  SameFile(info, current));
    if (!still)
      continue;
    file_ = std::move(*file);
    pending_.clear();  // a line without end in a file nobody writes any more
    return true;
  }
  return false;
}

Result<LogReader::Progress> LogReader::Read(std::string& out) {
  size_t limit = out.size() + kChunk;
  while (true) {
    size_t count = file_ ? TRY(Fill()) : 0;
    if (count == 0) {
      bool live = TRY(IsLive());
      if (live)
        return Progress::kCaughtUp;
      // Whoever rotated the file away had written its last line before: only now is its end the
      // end.
      count = file_ ? TRY(Fill()) : 0;
    }
    if (count == 0) {
      bool moved_on = TRY(NextFile());
      if (!moved_on)
        return Progress::kCaughtUp;
      continue;
    }
    Progress progress = TRY(Format(out));
    if (progress == Progress::kFinished)
      return progress;
    if (out.size() >= limit)
      return Progress::kMore;
  }
}

Result<LogReader::Progress> LogReader::Format(std::string& out) {
  size_t done = 0;
  LogEntry entry;
  bool past_end = false;
  while (!past_end) {
    size_t end = pending_.find('\n', done);
    if (end == std::string::npos)
      break;
    std::string_view line = std::string_view(pending_).substr(done, end - done);
    done = end + 1;
    if (ParseLogEntry(line, entry) && Wanted(entry, past_end))
      FormatEntry(entry, out);
  }
  pending_.erase(0, done);
  if (pending_.size() > kMaxLine)
    pending_.clear();
  return past_end ? Progress::kFinished : Progress::kMore;
}

bool LogReader::Wanted(const LogEntry& entry, bool& past_end) const {
  if (query_.since_nanos != 0 || query_.until_nanos != 0) {
    auto time = ParseRfc3339(entry.time);
    if (!time)
      return false;
    past_end = query_.until_nanos != 0 && *time > query_.until_nanos;
    if (past_end || *time < query_.since_nanos)
      return false;
  }
  return entry.from_stderr ? query_.with_stderr : query_.with_stdout;
}

void LogReader::FormatEntry(const LogEntry& entry, std::string& out) {
  bool& in_line = in_line_[entry.from_stderr ? 1 : 0];
  bool stamp = query_.timestamps && !in_line;
  in_line = !entry.ends_line();
  size_t size = entry.text.size() + (stamp ? entry.time.size() + 1 : 0);
  if (query_.multiplexed)
    out += FrameHeader(entry.from_stderr ? shim::kStderr : shim::kStdout, size);
  if (stamp)
    Append(out, entry.time, " ");
  out += entry.text;
}

}  // namespace wherry::engine
