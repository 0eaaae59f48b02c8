// The agent inside the test virtual machine: runs commands for the host.
//
// One process per virtio-serial port, one command at a time per port. The host writes frames that
// describe a command, then its input; the agent writes frames with its output and how it ended.
// It is a test helper: static, without any library but the C one, and it trusts the host.
//
// Frame: type (1 byte), length (4 bytes, big endian), payload.
//   host to agent  a argument   e environment NAME=VALUE   d directory   t "ROWS COLS": use a pty
//                  u path: connect to this unix socket instead of running a command   g go
//                  i input   c end of input   k signal number for the process group   w "ROWS COLS"
//   agent to host  o output   x error output   f why it could not start
//                  s "STATUS BYTES": exit status, and how many bytes of output were sent

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr size_t kHeader = 5;
constexpr size_t kMaxFrame = 1 << 20;

void Close(int& fd) {
  if (fd >= 0)
    close(fd);
  fd = -1;
}

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
      pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, 1000);
      continue;
    }
    if (n <= 0)
      return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// The port to the host: sends frames, collects received ones.
class Port {
 public:
  explicit Port(int fd) : fd_(fd) {}

  int fd() const { return fd_; }

  // A frame that is lost would make a test believe what is not so: the machine then ends instead.
  void Send(char type, const char* data, size_t size) {
    std::string frame(kHeader, type);
    for (int i = 0; i < 4; i++)
      frame[1 + i] = static_cast<char>(size >> (24 - 8 * i));
    frame.append(data, size);
    if (!WriteAll(fd_, frame.data(), frame.size())) {
      fprintf(stderr, "agent: a frame of %zu bytes could not be sent: %s\n", size, strerror(errno));
      abort();
    }
  }
  void Send(char type, const std::string& text) { Send(type, text.data(), text.size()); }

  // Reads what is there; false when the host end is closed.
  bool Fill() {
    char chunk[65536];
    const ssize_t n = read(fd_, chunk, sizeof(chunk));
    if (n < 0)
      return errno == EAGAIN || errno == EINTR;
    buffer_.append(chunk, static_cast<size_t>(n));
    return n > 0;
  }

  // Takes the next complete frame; false when there is none yet.
  bool Next(char* type, std::string* payload) {
    if (buffer_.size() < kHeader)
      return false;
    size_t size = 0;
    for (int i = 1; i <= 4; i++)
      size = size << 8 | static_cast<unsigned char>(buffer_[i]);
    if (size > kMaxFrame)
      abort();
    if (buffer_.size() < kHeader + size)
      return false;
    *type = buffer_[0];
    payload->assign(buffer_, kHeader, size);
    buffer_.erase(0, kHeader + size);
    return true;
  }

 private:
  int fd_;
  std::string buffer_;
};

struct Request {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string directory = "/";
  std::string socket_path;
  std::string window;
};

struct Session {
  pid_t pid = 0;
  int pidfd = -1;
  int in = -1;
  int out = -1;
  int err = -1;
  int status = 0;
  bool exited = false;
  bool input_ended = false;
  size_t sent = 0;      // bytes of output
  std::string pending;  // input the command has not taken yet
};

void SetWindow(int fd, const std::string& text) {
  winsize size = {};
  unsigned rows = 24;
  unsigned cols = 80;
  sscanf(text.c_str(), "%u %u", &rows, &cols);
  size.ws_row = static_cast<uint16_t>(rows);
  size.ws_col = static_cast<uint16_t>(cols);
  ioctl(fd, TIOCSWINSZ, &size);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings)
    result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void Exec(Request& request, int in, int out, int err) {
  setsid();
  if (!request.window.empty())
    ioctl(in, TIOCSCTTY, 0);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (chdir(request.directory.c_str()) != 0) {
    fprintf(stderr, "agent: %s: %s\n", request.directory.c_str(), strerror(errno));
    _exit(125);
  }
  for (std::string& variable : request.env)
    putenv(variable.data());
  std::vector<char*> argv = Pointers(request.argv);
  execvp(argv[0], argv.data());
  fprintf(stderr, "agent: %s: %s\n", argv[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

struct Ends {
  int child_in = -1;
  int child_out = -1;
  int child_err = -1;
};

bool OpenPipes(Session* session, Ends* ends) {
  int in[2];
  int out[2];
  int err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    return false;
  *ends = {in[0], out[1], err[1]};
  session->in = in[1];
  session->out = out[0];
  session->err = err[0];
  return true;
}

bool OpenTerminal(const std::string& window, Session* session, Ends* ends) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || unlockpt(master) != 0)
    return false;
  SetWindow(master, window);
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0)
    return false;
  *ends = {slave, dup(slave), dup(slave)};
  session->out = master;
  session->in = dup(master);
  return true;
}

bool StartCommand(Request& request, Session* session) {
  Ends ends;
  const bool opened = request.window.empty() ? OpenPipes(session, &ends)
                                             : OpenTerminal(request.window, session, &ends);
  if (!opened)
    return false;
  session->pid = fork();
  if (session->pid == 0)
    Exec(request, ends.child_in, ends.child_out, ends.child_err);
  Close(ends.child_in);
  Close(ends.child_out);
  Close(ends.child_err);
  if (session->pid < 0)
    return false;
  session->pidfd = static_cast<int>(syscall(SYS_pidfd_open, session->pid, 0));
  return session->pidfd >= 0;
}

bool StartBridge(const Request& request, Session* session) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (request.socket_path.size() >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address.sun_path, request.socket_path.data(), request.socket_path.size());
  session->out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(session->out, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return false;
  session->in = dup(session->out);
  return true;
}

void SetNonBlocking(int fd) {
  if (fd >= 0)
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void EndInput(Session* session) {
  session->input_ended = true;
  if (!session->pending.empty() || session->in < 0)
    return;
  if (session->pid == 0)
    shutdown(session->in, SHUT_WR);
  Close(session->in);
}

void FlushInput(Session* session) {
  while (!session->pending.empty() && session->in >= 0) {
    const ssize_t n = write(session->in, session->pending.data(), session->pending.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return;
    if (n < 0) {
      Close(session->in);
      session->pending.clear();
      return;
    }
    session->pending.erase(0, static_cast<size_t>(n));
  }
  if (session->input_ended)
    EndInput(session);
}

// Forwards one chunk; false when nothing is there now. Closes the descriptor at its end.
bool Forward(Port& port, Session* session, char type, int& fd) {
  char chunk[32768];
  const ssize_t n = read(fd, chunk, sizeof(chunk));
  if (n > 0) {
    port.Send(type, chunk, static_cast<size_t>(n));
    session->sent += static_cast<size_t>(n);
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  Close(fd);
  return false;
}

void Signal(const Session& session, int number) {
  if (session.pid > 0 && !session.exited)
    kill(-session.pid, number);
}

void HandleFrame(Session* session, char type, const std::string& payload) {
  switch (type) {
    case 'i':
      if (session->in >= 0)
        session->pending += payload;
      break;
    case 'c':
      EndInput(session);
      break;
    case 'k':
      Signal(*session, atoi(payload.c_str()));
      if (session->pid == 0)
        Close(session->out);
      break;
    case 'w':
      SetWindow(session->out, payload);
      break;
    default:
      break;
  }
}

void HandleFrames(Port& port, Session* session) {
  char type = 0;
  std::string payload;
  while (port.Next(&type, &payload))
    HandleFrame(session, type, payload);
  FlushInput(session);
}

void Reap(Session* session) {
  int status = 0;
  if (waitpid(session->pid, &status, 0) != session->pid)
    return;
  session->exited = true;
  session->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// One round of the loop: waits for anything and handles it; false when the host is gone.
bool Step(Port& port, Session* session) {
  pollfd set[5] = {{port.fd(), POLLIN, 0},
                   {session->out, POLLIN, 0},
                   {session->err, POLLIN, 0},
                   {session->pending.empty() ? -1 : session->in, POLLOUT, 0},
                   {session->pidfd, POLLIN, 0}};
  if (poll(set, 5, -1) < 0)
    return errno == EINTR;
  if (set[0].revents != 0 && !port.Fill())
    return false;
  HandleFrames(port, session);
  if (set[1].revents != 0 && session->out >= 0)
    Forward(port, session, 'o', session->out);
  if (set[2].revents != 0 && session->err >= 0)
    Forward(port, session, 'x', session->err);
  if (set[4].revents != 0)
    Reap(session);
  return true;
}

bool Serve(Port& port, Request& request) {
  Session session;
  const bool started = request.socket_path.empty() ? StartCommand(request, &session)
                                                   : StartBridge(request, &session);
  if (!started) {
    port.Send('f', strerror(errno));
  } else {
    SetNonBlocking(session.in);
    SetNonBlocking(session.out);
    SetNonBlocking(session.err);
  }
  HandleFrames(port, &session);  // what came together with the request
  bool connected = true;
  while (started && connected && (session.pid == 0 ? session.out >= 0 : !session.exited))
    connected = Step(port, &session);
  // What a process left behind by the command writes later belongs to nobody.
  while (session.out >= 0 && Forward(port, &session, 'o', session.out)) {
  }
  while (session.err >= 0 && Forward(port, &session, 'x', session.err)) {
  }
  if (!connected)
    Signal(session, SIGKILL);
  if (session.pid > 0 && !session.exited)
    Reap(&session);
  Close(session.in);
  Close(session.out);
  Close(session.err);
  Close(session.pidfd);
  if (started && connected)
    port.Send('s', std::to_string(session.status) + " " + std::to_string(session.sent));
  return connected;
}

bool Collect(Request* request, char type, const std::string& payload) {
  switch (type) {
    case 'a':
      request->argv.push_back(payload);
      break;
    case 'e':
      request->env.push_back(payload);
      break;
    case 'd':
      request->directory = payload;
      break;
    case 't':
      request->window = payload;
      break;
    case 'u':
      request->socket_path = payload;
      break;
    case 'g':
      return !request->argv.empty() || !request->socket_path.empty();
    default:  // input that came after the end of the command before
      break;
  }
  return false;
}

[[noreturn]] void ServePort(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    _exit(1);
  Port port(fd);
  Request request;
  for (;;) {
    char type = 0;
    std::string payload;
    while (port.Next(&type, &payload)) {
      if (!Collect(&request, type, payload))
        continue;
      Serve(port, request);
      request = Request();
    }
    if (!port.Fill())
      usleep(100'000);  // the host has not connected yet
  }
}

// For tests of the bridge: takes one connection, reads to its end, sends all of it back.
int EchoOnce(const char* path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return 1;
  if (listen(listener, 1) != 0)
    return 1;
  const int fd = accept(listener, nullptr, nullptr);
  std::string all;
  char chunk[4096];
  for (ssize_t n = 0; (n = read(fd, chunk, sizeof(chunk))) > 0;)
    all.append(chunk, static_cast<size_t>(n));
  return WriteAll(fd, all.data(), all.size()) ? 0 : 1;
}

}  // namespace

// Arguments: the ports to serve, or --echo and a socket path.
int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && strcmp(argv[1], "--echo") == 0)
    return EchoOnce(argv[2]);
  // No container may find this key (tests/harness/keys.py).
  syscall(SYS_add_key, "user", "wherry-test-secret", "x", 1, KEY_SPEC_SESSION_KEYRING);
  for (int i = 1; i < argc; i++) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      ServePort(argv[i]);
    }
  }
  while (wait(nullptr) > 0 || errno == EINTR) {
  }
  return 0;
}
