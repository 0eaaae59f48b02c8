#include "core/oci_runtime/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "core/base/text.h"
#include "core/sys/pass_fd.h"
#include "core/sys/unix_socket.h"

namespace wherry::oci_runtime {

namespace {

constexpr std::string_view kVariable = "NOTIFY_SOCKET=";
constexpr char kInside[] = "/run/notify";
constexpr char kSocketInside[] = "/run/notify/notify.sock";
constexpr int kBarrierMilliseconds = 5000;  // as systemd-notify waits

std::string ServiceManager() {
  const char* path = getenv("NOTIFY_SOCKET");
  return path == nullptr ? "" : path;
}

}  // namespace

Result<> AddNotifySocket(StateDir& dir, oci::RuntimeSpec& spec) {
  bool has_one = std::ranges::any_of(
      spec.process.env, [](const std::string& entry) { return entry.starts_with(kVariable); });
  if (ServiceManager().empty() || has_one)
    return {};
  std::string source = TRY(dir.MakeNotifyDir());
  spec.mounts.push_back(
      {kInside, "bind", std::move(source), {"bind", "nosuid", "noexec", "nodev", "ro"}});
  spec.process.env.push_back(Cat(kVariable, kSocketInside));
  return {};
}

Result<NotifyListener> NotifyListener::Listen(const StateDir& dir, pid_t main_pid) {
  NotifyListener listener;
  if (ServiceManager().empty() || !dir.HasNotifyDir())
    return listener;
  listener.socket_ = TRY(dir.ListenForNotify());
  listener.main_pid_ = main_pid;
  return listener;
}

// Whatever else it says, and however often: the container speaks for itself, not for the service.
Result<> NotifyListener::Receive() {
  std::array<char, 4096> buffer;
  ssize_t n = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n <= 0)
    return {};
  for (std::string_view line :
       Split(std::string_view(buffer.data(), static_cast<size_t>(n)), '\n')) {
    if (line == "READY=1") {
      socket_.Reset();
      return Tell();
    }
  }
  return {};
}

Result<> NotifyListener::Tell() {
  manager_ = TRY_CTX("NOTIFY_SOCKET", sys::ConnectUnix(ServiceManager(), SOCK_DGRAM));
  std::string text = Cat("MAINPID=", main_pid_, "\nREADY=1");
  return sys::SendFd(manager_.get(), text, -1, "NOTIFY_SOCKET");
}

// A service manager looks at the sender: it has to be there until then (sd_notify_barrier(3)).
Result<> NotifyListener::Barrier() {
  std::array<int, 2> pipe{};
  if (pipe2(pipe.data(), O_CLOEXEC) < 0)
    return FailSys("pipe2");
  UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  TRY(sys::SendFd(manager_.get(), "BARRIER=1", write_end.get(), "NOTIFY_SOCKET"));
  write_end.Reset();
  pollfd closed{read_end.get(), 0, 0};
  (void)poll(&closed, 1, kBarrierMilliseconds);
  return {};
}

Result<> NotifyListener::Await(const sys::PidFd& init) {
  while (fd() >= 0) {
    std::array<pollfd, 2> either = {{{fd(), POLLIN, 0}, {init.fd(), POLLIN, 0}}};
    if (poll(either.data(), either.size(), -1) < 0 && errno != EINTR)
      return FailSys("poll");
    if (either[0].revents != 0) {
      TRY(Receive());
    } else if (either[1].revents != 0) {
      return {};
    }
  }
  return manager_ ? Barrier() : Result<>();
}

}  // namespace wherry::oci_runtime
