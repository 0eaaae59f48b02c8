#include "core/shim/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/shim/cgroup_end.h"
#include "core/sys/pidfd.h"

namespace wherry::shim {

namespace {

constexpr idtype_t kByPidFd = static_cast<idtype_t>(3);  // P_PIDFD

bool IsOpen(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

void SetNonBlocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void WriteRecord(const RecordText& record) {
  constexpr char kTemporary[] = "exit.tmp";
  int file =
      openat(kStateDirFd, kTemporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  FixedText<120> line;
  line.Add(record.data(), record.size()).Add("\n");
  bool good =
      file >= 0 && write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (file >= 0)
    close(file);
  good = good && renameat(kStateDirFd, kTemporary, kStateDirFd, kExitName) == 0;
  if (good)
    return;
  FixedText<256> note;
  note.Add("wherry-shim: the exit record cannot be written (errno ");
  note.AddNumber(static_cast<uint64_t>(errno)).Add("): ");
  note.Add(line.data(), line.size());
  (void)!write(2, note.data(), note.size());
}

}  // namespace

void Stream::Start(int fd, Kind kind, char* buffer) {
  kind_ = kind;
  buffer_ = buffer;
  if (!IsOpen(fd))
    return;
  SetNonBlocking(fd);
  fd_ = fd;
}

bool Stream::Read(LogWriter& log) {
  if (begin_ > 0)
    memmove(buffer_, buffer_ + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  fresh_ = end_;
  size_t limit = end_ < kUsual / 2 ? kUsual : kCapacity;
  size_t room = limit - end_;
  ssize_t count = read(fd_, buffer_ + end_, room < kUsual ? room : kUsual);
  if (count > 0) {
    end_ += static_cast<size_t>(count);
    LogLines(log);
    return true;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  End(log);  // end of file, or EIO: nobody holds the terminal any more
  return false;
}

void Stream::LogLines(LogWriter& log) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  size_t search = fresh_;
  while (search < end_) {
    const void* found = memchr(buffer_ + search, '\n', end_ - search);
    if (found == nullptr)
      break;
    size_t newline = static_cast<size_t>(static_cast<const char*>(found) - buffer_);
    LogPart(log, newline - begin_, LogWriter::End::kLine, now);
    begin_ = search = newline + 1;
  }
  if (begin_ > 0 || end_ < kCapacity)
    return;
  size_t size = end_ - UnfinishedUtf8(buffer_, end_);
  LogPart(log, size, LogWriter::End::kPart, now);
  begin_ = size;
}

void Stream::LogPart(LogWriter& log, size_t size, LogWriter::End end, const timespec& now) {
  if (!in_parts_)
    first_part_ = now;
  in_parts_ = end == LogWriter::End::kPart;
  log.Write(buffer_ + begin_, size, end, kind_ == kStdout ? "stdout" : "stderr", first_part_);
}

void Stream::End(LogWriter& log) {
  if (fd_ < 0)
    return;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (end_ > begin_)
    LogPart(log, end_ - begin_, LogWriter::End::kPart, now);
  begin_ = fresh_ = end_ = 0;
  close(fd_);
  fd_ = -1;
}

void Container::Start(const Options& options, Buffers& buffers) {
  options_ = options;
  input_ = buffers.input;
  has_cgroup_ = IsOpen(kCgroupFd);
  out_.Start(kStdoutFd, kStdout, buffers.out);
  if (options.tty) {
    input_fd_ = kStdoutFd;
  } else {
    err_.Start(kStderrFd, kStderr, buffers.err);
    if (IsOpen(kStdinFd)) {
      SetNonBlocking(kStdinFd);
      input_fd_ = kStdinFd;
    }
  }
  bool has_log = options.log && IsOpen(kLogDirFd);
  log_.Open(has_log ? static_cast<int>(kLogDirFd) : -1, options.log_size, options.log_files,
            options.id, buffers.log);
}

void Container::InputArrived(size_t size) {
  if (input_fd_ < 0 || input_closes_)
    return;
  input_end_ += size;
  FlushInput();
}

void Container::FlushInput() {
  if (options_.tty && !out_.open())
    DropInput();
  while (input_begin_ < input_end_) {
    ssize_t count = write(input_fd_, input_ + input_begin_, input_end_ - input_begin_);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0 && errno == EAGAIN)
      return;
    if (count < 0) {
      // The container has closed its input.
      DropInput();
      return;
    }
    input_begin_ += static_cast<size_t>(count);
  }
  input_begin_ = input_end_ = 0;
  if (input_closes_)
    DropInput();
}

void Container::CloseInput() {
  if (options_.tty || input_fd_ < 0)
    return;
  input_closes_ = true;
  if (input_begin_ == input_end_)
    DropInput();
}

void Container::DropInput() {
  if (input_fd_ >= 0 && !options_.tty)
    close(input_fd_);
  input_fd_ = -1;
  input_begin_ = input_end_ = 0;
}

void Container::Resize(uint16_t rows, uint16_t columns) {
  if (!options_.tty || !out_.open())
    return;
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  ioctl(kStdoutFd, TIOCSWINSZ, &size);
}

void Container::Kill() {
  if (ended_)
    return;
  if (has_cgroup_)
    KillAll(kCgroupFd);
  (void)sys::SendSignal(kPidFd, SIGKILL);  // it may have ended meanwhile
}

bool Container::Reap() {
  siginfo_t info{};
  int result;
  do {
    result = waitid(kByPidFd, kPidFd, &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result == 0 && info.si_pid == 0)
    return false;
  int code = 255;  // nothing is known: not a child of this process
  int signal = 0;
  if (result == 0) {
    signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    code = signal != 0 ? 128 + signal : info.si_status;
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  bool oom = has_cgroup_ && OomKilled(kCgroupFd);
  record_.Add("{\"code\":").AddNumber(static_cast<uint64_t>(code));
  record_.Add(",\"signal\":").AddNumber(static_cast<uint64_t>(signal));
  record_.Add(",\"oom\":").Add(oom ? "true" : "false").Add(",\"time_ns\":");
  record_
      .AddNumber(static_cast<uint64_t>(now.tv_sec) * 1000000000 +
                 static_cast<uint64_t>(now.tv_nsec))
      .Add("}");
  ended_ = true;
  close(kPidFd);
  DropInput();
  if (has_cgroup_)
    KillAll(kCgroupFd);
  return true;
}

void Container::Finish() {
  WriteRecord(record_);
  if (!has_cgroup_)
    return;
  KillAll(kCgroupFd);
  RemoveCgroup(kCgroupFd);
}

void Container::DescribeState(StateText& json) const {
  json.Add("{\"version\":1,\"pid\":").AddNumber(static_cast<uint64_t>(options_.pid));
  json.Add(",\"exited\":").Add(ended_ ? "true" : "false");
  if (ended_)
    json.Add(",").Add(record_.data() + 1, record_.size() - 2);
  json.Add("}");
}

}  // namespace wherry::shim
