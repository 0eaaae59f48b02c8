#include "core/oci_runtime/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "core/base/file.h"

namespace wherry::oci_runtime {

namespace {

constexpr char kEndOfInput = 4;  // ^D

// Raw as long as the object lives, but for what turns a line's end into two characters: the
// container's terminal does not.
class RawTerminal {
 public:
  RawTerminal() : active_(tcgetattr(STDIN_FILENO, &saved_) == 0) {
    if (!active_)
      return;
    termios raw = saved_;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~RawTerminal() {
    if (active_)
      (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios saved_{};
  bool active_;
};

void CopySize(int master) {
  winsize size{};
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
    (void)ioctl(master, TIOCSWINSZ, &size);
}

int ExitCode(const sys::ExitStatus& status) {
  return status.signal != 0 ? 128 + status.signal : status.code;
}

class Relay {
 public:
  // `master`: -1 without a terminal.
  Relay(const sys::PidFd& process, int master, int signals, NotifyListener* notify)
      : process_(process),
        master_(master),
        signals_(signals),
        notify_(notify),
        input_open_(master >= 0),
        output_open_(master >= 0) {}

  Result<int> Run();

 private:
  void ReadInput();
  void WriteInput();
  bool ReadOutput();
  // The exit status once there is one.
  Result<std::optional<int>> TakeSignals();

  const sys::PidFd& process_;
  int master_;
  int signals_;
  NotifyListener* notify_;
  bool input_open_;
  bool output_open_;
  std::string input_;  // that the terminal has not taken yet
  std::array<char, 8192> buffer_;
};

void Relay::ReadInput() {
  ssize_t n = read(STDIN_FILENO, buffer_.data(), buffer_.size());
  if (n > 0)
    input_.assign(buffer_.data(), static_cast<size_t>(n));
  else if (n == 0 || errno != EINTR)
    input_open_ = false;
  if (!input_open_)
    input_ = kEndOfInput;
}

void Relay::WriteInput() {
  ssize_t n = write(master_, input_.data(), input_.size());
  if (n > 0)
    input_.erase(0, static_cast<size_t>(n));
  else if (errno != EAGAIN && errno != EINTR)
    input_.clear();
}

// Whether there was some.
bool Relay::ReadOutput() {
  ssize_t n = read(master_, buffer_.data(), buffer_.size());
  if (n > 0) {
    std::string_view text(buffer_.data(), static_cast<size_t>(n));
    output_open_ = WriteAll(STDOUT_FILENO, text, "standard output").has_value();
    return output_open_;
  }
  // EIO: nobody has it open any more.
  if (n == 0 || (errno != EAGAIN && errno != EINTR))
    output_open_ = false;
  return false;
}

Result<std::optional<int>> Relay::TakeSignals() {
  signalfd_siginfo info{};
  while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGWINCH && master_ >= 0)
      CopySize(master_);
    else if (info.ssi_signo != SIGCHLD)
      (void)process_.Signal(static_cast<int>(info.ssi_signo));
  }
  std::optional<sys::ExitStatus> ended = TRY(process_.TryWait());
  if (!ended)
    return std::optional<int>();
  return std::optional<int>(ExitCode(*ended));
}

Result<int> Relay::Run() {
  while (true) {
    std::optional<int> code = TRY(TakeSignals());
    if (code) {
      while (output_open_ && ReadOutput()) {
      }
      return *code;
    }
    short master_events = output_open_ ? POLLIN : 0;
    if (!input_.empty())
      master_events |= POLLOUT;
    std::array<pollfd, 4> wanted = {
        pollfd{signals_, POLLIN, 0}, pollfd{master_events != 0 ? master_ : -1, master_events, 0},
        pollfd{input_open_ && input_.empty() ? STDIN_FILENO : -1, POLLIN, 0},
        pollfd{notify_ != nullptr ? notify_->fd() : -1, POLLIN, 0}};
    if (poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR)
      return FailSys("poll");
    if ((wanted[1].revents & POLLOUT) != 0)
      WriteInput();
    if ((wanted[1].revents & ~POLLOUT) != 0)
      (void)ReadOutput();
    if (!output_open_)
      input_.clear();
    if (wanted[2].revents != 0)
      ReadInput();
    if (wanted[3].revents != 0)
      (void)notify_->Receive();
  }
}

}  // namespace

void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

void MatchTerminal(int master) {
  termios mode{};
  if (tcgetattr(master, &mode) == 0) {
    mode.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
    (void)tcsetattr(master, TCSANOW, &mode);
  }
  CopySize(master);
}

Result<int> AwaitExit(const sys::PidFd& process, UniqueFd master, NotifyListener* notify) {
  sigset_t all;
  sigfillset(&all);
  UniqueFd signals(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals)
    return FailSys("signalfd");
  Relay relay(process, master.get(), signals.get(), notify);
  if (!master)
    return relay.Run();
  int flags = fcntl(master.get(), F_GETFL);
  if (flags < 0 || fcntl(master.get(), F_SETFL, flags | O_NONBLOCK) < 0)
    return FailSys("fcntl", "terminal");
  RawTerminal raw;
  return relay.Run();
}

}  // namespace wherry::oci_runtime
