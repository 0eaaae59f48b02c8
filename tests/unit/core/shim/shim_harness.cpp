#include "tests/unit/core/shim/shim_harness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::shim {

namespace {

using Clock = std::chrono::steady_clock;

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

UniqueFd Listen(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = Address(path);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd.get(), 128), 0);
  return fd;
}

struct Ends {
  UniqueFd read;
  UniqueFd write;
};
Ends MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    abort();
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Everything the launcher holds for the shim.
struct Handover {
  UniqueFd listen, state, log, out, err, in, pidfd, cgroup;
};

// Puts the descriptors at their numbers and becomes the shim.
[[noreturn]] void BecomeShim(const ShimSetup& setup, const Handover& from, pid_t init) {
  const int sources[] = {from.listen.get(), from.state.get(), from.log.get(),   from.out.get(),
                         from.err.get(),    from.in.get(),    from.pidfd.get(), from.cgroup.get()};
  int high[8];
  for (int i = 0; i < 8; ++i)
    high[i] = sources[i] < 0 ? -1 : fcntl(sources[i], F_DUPFD_CLOEXEC, 100);
  for (int i = 0; i < 8; ++i) {
    close(kListenFd + i);
    if (high[i] >= 0)
      dup2(high[i], kListenFd + i);
  }
  syscall(SYS_close_range, 11, ~0U, 0);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, 0);
  dup2(null, 1);
  std::string pid = Cat(init);
  std::string size = Cat("log-size=", setup.log_size);
  std::string files = Cat("log-files=", setup.log_files);
  execl(WHERRY_SHIM, "wherry-shim", "0123456789ab", pid.c_str(), setup.tty ? "tty=1" : "tty=0",
        setup.log ? "log=json-file" : "log=none", size.c_str(), files.c_str(),
        setup.stdin_once ? "stdin-once=1" : "stdin-once=0", "future=1", nullptr);
  _exit(99);
}

[[noreturn]] void RunInit(const ShimSetup& setup, const std::function<int()>& init, int in, int out,
                          int err) {
  if (!setup.cgroup.empty() && !WriteExisting(setup.cgroup + "/cgroup.procs", "0"))
    _exit(98);
  if (setup.tty) {
    setsid();
    ioctl(in, TIOCSCTTY, 0);
  }
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  syscall(SYS_close_range, 3, ~0U, 0);
  signal(SIGPIPE, SIG_DFL);
  _exit(init());
}

// Runs as the launcher: makes init, tells its pid, becomes the shim.
[[noreturn]] void Launch(const ShimSetup& setup, const std::function<int()>& init,
                         Handover handover, int report) {
  UniqueFd in, out, err;
  if (setup.tty) {
    handover.out.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    grantpt(handover.out.get());
    unlockpt(handover.out.get());
    in.Reset(open(ptsname(handover.out.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    out.Reset(dup(in.get()));
    err.Reset(dup(in.get()));
  } else {
    Ends out_pipe = MakePipe();
    Ends err_pipe = MakePipe();
    handover.out = std::move(out_pipe.read);
    handover.err = std::move(err_pipe.read);
    out = std::move(out_pipe.write);
    err = std::move(err_pipe.write);
    if (setup.with_stdin) {
      Ends in_pipe = MakePipe();
      in = std::move(in_pipe.read);
      handover.in = std::move(in_pipe.write);
    } else {
      in.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
    }
  }
  pid_t pid = fork();
  if (pid == 0)
    RunInit(setup, init, in.get(), out.get(), err.get());
  handover.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!setup.cgroup.empty())
    handover.cgroup.Reset(open(setup.cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (write(report, &pid, sizeof pid) != sizeof pid)
    _exit(97);
  BecomeShim(setup, handover, pid);
}

}  // namespace

TestClient::TestClient(const std::string& socket_path)
    : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address = Address(socket_path);
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fd_.Reset();
}

void TestClient::Send(Kind kind, std::string_view payload) {
  std::string message(8, '\0');
  message[0] = static_cast<char>(kind);
  for (int i = 0; i < 4; ++i)
    message[static_cast<size_t>(4 + i)] = static_cast<char>(payload.size() >> (24 - 8 * i));
  message += payload;
  ASSERT_TRUE(WriteAll(fd_.get(), message, "client"));
}

size_t TestClient::TrySend(std::string_view bytes) {
  ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return count > 0 ? static_cast<size_t>(count) : 0;
}

void TestClient::Attach(uint8_t flags) {
  Send(kAttach, std::string(1, static_cast<char>(flags)));
  auto answer = Next();
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->kind, kAttached);
}

bool TestClient::ReadExactly(char* buffer, size_t size, milliseconds timeout) {
  auto deadline = Clock::now() + timeout;
  for (size_t got = 0; got < size;) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count();
    pollfd waiter{fd_.get(), POLLIN, 0};
    if (left <= 0 || poll(&waiter, 1, static_cast<int>(left)) <= 0)
      return false;
    ssize_t count = read(fd_.get(), buffer + got, size - got);
    if (count <= 0)
      return false;
    got += static_cast<size_t>(count);
  }
  return true;
}

std::optional<Message> TestClient::Next(milliseconds timeout) {
  unsigned char header[8];
  if (!ReadExactly(reinterpret_cast<char*>(header), sizeof header, timeout))
    return std::nullopt;
  size_t size =
      size_t{header[4]} << 24 | size_t{header[5]} << 16 | size_t{header[6]} << 8 | header[7];
  EXPECT_LE(size, kMaxPayload);
  Message message{header[0], std::string(size, '\0')};
  if (!ReadExactly(message.payload.data(), size, timeout))
    return std::nullopt;
  return message;
}

std::string TestClient::Collect(Kind kind, Kind end) {
  std::string all;
  while (auto message = Next()) {
    if (message->kind == kind)
      all += message->payload;
    if (message->kind == end)
      return all;
  }
  ADD_FAILURE() << "the connection ended early after " << all.size() << " bytes";
  return all;
}

std::string TestClient::CollectUntil(Kind kind, std::string_view text) {
  std::string all;
  while (all.find(text) == std::string::npos) {
    auto message = Next();
    if (!message) {
      ADD_FAILURE() << "no \"" << text << "\" in \"" << all << "\"";
      return all;
    }
    if (message->kind == kind)
      all += message->payload;
  }
  return all;
}

bool TestClient::AtEnd(milliseconds timeout) {
  pollfd waiter{fd_.get(), POLLIN, 0};
  char byte;
  return poll(&waiter, 1, static_cast<int>(timeout.count())) == 1 && read(fd_.get(), &byte, 1) <= 0;
}

ShimUnderTest::ShimUnderTest(const ShimSetup& setup, const std::function<int()>& init) {
  char base[] = "/tmp/wherry-shim-test-XXXXXX";
  if (mkdtemp(base) == nullptr)
    abort();
  base_ = base;
  state_dir_ = base_ + "/state";
  log_dir_ = setup.log_dir.empty() ? base_ + "/log" : setup.log_dir;
  mkdir(state_dir_.c_str(), 0700);
  mkdir(log_dir_.c_str(), 0700);
  Handover handover;
  handover.listen = Listen(socket_path());
  handover.state.Reset(open(state_dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (setup.log)
    handover.log.Reset(open(log_dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Ends report = MakePipe();
  pid_ = fork();
  if (pid_ == 0)
    Launch(setup, init, std::move(handover), report.write.get());
  report.write.Reset();
  if (read(report.read.get(), &init_pid_, sizeof init_pid_) != sizeof init_pid_)
    ADD_FAILURE() << "no init";
  if (setup.hello) {
    auto watcher = Connect();
    watcher.Send(kHello);
    watcher.Next();
  }
}

ShimUnderTest::~ShimUnderTest() {
  if (pid_ > 0) {
    kill(init_pid_, SIGKILL);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  (void)RemoveTree(base_);
}

bool ShimUnderTest::Running() const {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

std::string ShimUnderTest::Finish(milliseconds timeout) {
  auto deadline = Clock::now() + timeout;
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      ADD_FAILURE() << "the shim does not end";
      return "";
    }
    usleep(2000);
  }
  pid_ = -1;
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(PathExists(socket_path()));
  auto record = ReadFile(state_dir_ + "/" + kExitName);
  EXPECT_TRUE(record);
  return record ? *record : "";
}

std::vector<LogEntry> ReadLog(const std::string& path) {
  std::vector<LogEntry> entries;
  auto text = ReadFile(path, size_t{1} << 30);
  EXPECT_TRUE(text) << path;
  if (!text)
    return entries;
  EXPECT_TRUE(text->empty() || text->ends_with('\n')) << path;
  for (std::string_view line : Split(*text, '\n')) {
    if (line.empty())
      continue;
    auto json = JsonDocument::Parse(line, "log line");
    EXPECT_TRUE(json) << line.substr(0, 200);
    if (!json)
      return entries;
    entries.push_back({std::string((*json)["log"].str()), std::string((*json)["stream"].str()),
                       std::string((*json)["time"].str())});
  }
  return entries;
}

std::string JoinLog(const std::vector<LogEntry>& entries, std::string_view stream) {
  std::string all;
  for (const LogEntry& entry : entries) {
    if (entry.stream == stream)
      all += entry.log;
  }
  return all;
}

}  // namespace wherry::shim
