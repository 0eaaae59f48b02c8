#include "cli/attach.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>

#include "cli/stream.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

// Signals as a descriptor: the window size, and those that belong to the container.
Result<UniqueFd> SignalFd(bool forward) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  if (forward) {
    for (int number : kForwarded)
      sigaddset(&set, number);
  }
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0)
    return FailSys("sigprocmask");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd)
    return FailSys("signalfd");
  return fd;
}

}  // namespace

Result<DetachKeys> DetachKeys::Parse(std::string_view text) {
  DetachKeys keys;
  for (std::string_view part : Split(text.empty() ? "ctrl-p,ctrl-q" : text, ',')) {
    constexpr std::string_view kCtrl = "ctrl-";
    if (part.size() == 1) {
      keys.keys_ += part[0];
    } else if (part.size() == kCtrl.size() + 1 && part.starts_with(kCtrl) && part.back() >= '@' &&
               part.back() <= 'z') {
      keys.keys_ += static_cast<char>(part.back() & 0x1f);
    } else {
      return Fail(Errc::kInvalid,
                  Cat("detach keys ", text, " are not a list such as ctrl-p,ctrl-q"));
    }
  }
  return keys;
}

bool DetachKeys::Filter(std::string& bytes) {
  std::string passed;
  for (char c : bytes) {
    if (c == keys_[matched_]) {
      if (++matched_ == keys_.size()) {
        bytes = std::move(passed);
        return true;
      }
      continue;
    }
    passed.append(keys_, 0, matched_);
    matched_ = c == keys_[0] ? 1 : 0;
    if (matched_ == 0)
      passed += c;
  }
  bytes = std::move(passed);
  return false;
}

Result<Attachment> Attachment::Open(Client& client, const std::string& container,
                                    const AttachRequest& options) {
  auto keys = TRY(DetachKeys::Parse(options.detach_keys));
  Query query{{"stream", "1"}, {"stdout", "1"}, {"stderr", "1"}};
  if (options.input)
    query.emplace_back("stdin", "1");
  if (options.logs)
    query.emplace_back("logs", "1");
  std::string path = Cat("/containers/", Segment(container));
  auto stream = TRY(client.Hijack(Target(Cat(path, "/attach"), query)));
  Attachment attachment(client, std::move(path), options, std::move(stream));
  attachment.detach_ = std::move(keys);
  return attachment;
}

Result<Attachment> Attachment::StartExec(Client& client, const std::string& exec,
                                         const AttachRequest& options) {
  auto keys = TRY(DetachKeys::Parse(options.detach_keys));
  std::string path = Cat("/exec/", Segment(exec));
  JsonWriter body;
  body.Object().Field("Detach", false).Field("Tty", options.terminal).End();
  auto stream = TRY(client.Hijack(Target(Cat(path, "/start")), body.text()));
  Attachment attachment(client, std::move(path), options, std::move(stream));
  attachment.detach_ = std::move(keys);
  return attachment;
}

void Attachment::SendSize() {
  TerminalSize size = SizeOfTerminal(STDIN_FILENO);
  if (!options_.terminal || size.rows == 0)
    return;
  // A container that has just ended refuses; there is nothing to tell the user then.
  (void)client_->Post(
      Target(Cat(path_, "/resize"), {{"h", Cat(size.rows)}, {"w", Cat(size.columns)}}));
}

void Attachment::ForwardSignal(int signal_number) {
  (void)client_->Post(Target(Cat(path_, "/kill"), {{"signal", Cat(signal_number)}}));
}

// True at the end of the container's output.
Result<bool> Attachment::Output() {
  std::array<char, 32 << 10> buffer;
  ssize_t count = read(stream_.fd.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EINTR || errno == EAGAIN))
    return false;
  if (count <= 0)
    return true;
  std::string_view bytes(buffer.data(), static_cast<size_t>(count));
  TRY(demultiplexer_ ? demultiplexer_->Feed(bytes) : WriteAll(STDOUT_FILENO, bytes, "output"));
  return false;
}

// True when the user typed the detach keys.
bool Attachment::Input() {
  std::array<char, 16 << 10> buffer;
  ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
  if (count < 0 && errno == EINTR)
    return false;
  if (count <= 0) {
    input_open_ = false;
    (void)shutdown(stream_.fd.get(), SHUT_WR);
    return false;
  }
  std::string bytes(buffer.data(), static_cast<size_t>(count));
  bool detached = options_.terminal && detach_.Filter(bytes);
  auto sent = WriteAll(stream_.fd.get(), bytes, "attach");
  if (!sent)
    input_open_ = false;  // the container is gone; its output tells the rest
  return detached;
}

Result<Attachment::End> Attachment::Run() {
  std::unique_ptr<RawMode> raw;
  if (options_.terminal && options_.input && IsTerminal(STDIN_FILENO))
    raw = std::make_unique<RawMode>(STDIN_FILENO);
  UniqueFd signals = TRY(SignalFd(options_.signals && raw == nullptr));
  if (stream_.multiplexed)
    demultiplexer_ = std::make_unique<Demultiplexer>();
  input_open_ = options_.input;
  SendSize();
  if (!stream_.early.empty()) {
    TRY(demultiplexer_ ? demultiplexer_->Feed(stream_.early)
                       : WriteAll(STDOUT_FILENO, stream_.early, "output"));
  }
  for (;;) {
    pollfd watched[] = {{stream_.fd.get(), POLLIN, 0},
                        {signals.get(), POLLIN, 0},
                        {input_open_ ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(watched, std::size(watched), -1) < 0 && errno != EINTR)
      return FailSys("poll");
    if (watched[1].revents != 0) {
      signalfd_siginfo info{};
      while (read(signals.get(), &info, sizeof info) == sizeof info) {
        int number = static_cast<int>(info.ssi_signo);
        number == SIGWINCH ? SendSize() : ForwardSignal(number);
      }
    }
    if (watched[2].revents != 0 && Input())
      return End::kDetached;
    if (watched[0].revents != 0 && TRY(Output()))
      return End::kEnded;
  }
}

}  // namespace wherry::cli
