// wherry-shim: the parent of a container's init. Holds its pipes or terminal, writes its log,
// serves attached clients, records its exit. Contract in protocol.h; started by the launcher only.
// Linked against musl without libstdc++; after the start it allocates nothing, and it sleeps in
// poll until there is something to do.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>
#include <new>

#include "core/shim/clients.h"
#include "core/shim/container.h"
#include "core/shim/init.h"

namespace wherry::shim {

namespace {

constexpr int kMaxClients = 12;
constexpr int kHoldMilliseconds = 10000;
constexpr int kDrainMilliseconds = 2000;
constexpr int kLingerMilliseconds = 1000;
// How much of a stream is read before the others get their turn.
constexpr size_t kTurn = 64 * 1024;

int64_t NowMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

// Only root and the user the shim runs as may speak to it, whatever the mode of the socket says.
bool IsTrusted(int connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

class Shim {
 public:
  void Run(const Options& options, Buffers& buffers);

 private:
  enum class Phase : uint8_t {
    kHolding,  // output waits in its pipes for the first watcher or the deadline, so that nobody
               // attached misses any
    kRunning,
    kDraining,  // init has ended; output until its end or the deadline
    kTelling,   // the record is written; clients are told until they close or the deadline
  };
  // Places in polled_; the clients follow.
  enum Slot : uint8_t { kListenSlot, kPidSlot, kOutSlot, kErrSlot, kInputSlot, kClientSlots };

  void Wait();
  void Watch(int slot, int fd, short events);
  bool Ready(int slot) const { return polled_[slot].revents != 0; }
  void ServeClients();
  void ServeStream(Stream& stream);
  void Distribute(Stream& stream);
  bool Owed(Kind stream) const;
  void Accept();
  void Drop(Client& client);
  void EndHold();
  void Advance();
  void EndDrain();
  void Finish();
  void TellExit();
  bool Deserted() const;

  Container container_;
  Client clients_[kMaxClients];
  pollfd polled_[kClientSlots + kMaxClients];
  Phase phase_ = Phase::kHolding;
  bool greeted_ = false;  // a client has said hello
  int64_t deadline_ = 0;
  ino_t socket_inode_ = 0;
};

void Shim::Run(const Options& options, Buffers& buffers) {
  struct stat info{};
  if (fstatat(kStateDirFd, kSocketName, &info, AT_SYMLINK_NOFOLLOW) == 0)
    socket_inode_ = info.st_ino;
  fcntl(kListenFd, F_SETFL, fcntl(kListenFd, F_GETFL) | O_NONBLOCK);
  container_.Start(options, buffers);
  deadline_ = NowMilliseconds() + kHoldMilliseconds;
  while (phase_ != Phase::kTelling || (NowMilliseconds() < deadline_ && !Deserted())) {
    Wait();
    ServeClients();
    if (Ready(kInputSlot))
      container_.FlushInput();
    if (Ready(kOutSlot))
      ServeStream(container_.out());
    if (Ready(kErrSlot))
      ServeStream(container_.err());
    container_.log().Flush();
    if (Ready(kListenSlot))
      Accept();
    Advance();
  }
}

void Shim::Watch(int slot, int fd, short events) {
  // A descriptor with nothing to wait for would still wake poll when its other side hangs up.
  polled_[slot] = {events != 0 ? fd : -1, events, 0};
}

void Shim::Wait() {
  bool room = false;
  for (int i = 0; i < kMaxClients; ++i) {
    const Client& client = clients_[i];
    room = room || !client.open();
    Watch(kClientSlots + i, client.fd(), client.open() ? client.Events(container_) : short{0});
  }
  const Stream& out = container_.out();
  const Stream& err = container_.err();
  bool held = phase_ == Phase::kHolding;
  int input = container_.BlockedInput();
  Watch(kListenSlot, kListenFd, room ? POLLIN : short{0});
  Watch(kPidSlot, kPidFd, phase_ == Phase::kRunning ? POLLIN : short{0});
  Watch(kOutSlot, out.fd(), out.open() && !held && !Owed(kStdout) ? POLLIN : short{0});
  Watch(kErrSlot, err.fd(), err.open() && !held && !Owed(kStderr) ? POLLIN : short{0});
  Watch(kInputSlot, input, input >= 0 ? POLLOUT : short{0});
  int timeout = -1;
  if (phase_ != Phase::kRunning) {
    int64_t left = deadline_ - NowMilliseconds();
    timeout = left > 0 ? static_cast<int>(left) : 0;
  }
  int count = poll(polled_, kClientSlots + kMaxClients, timeout);
  if (count > 0)
    return;
  for (pollfd& entry : polled_)
    entry.revents = 0;
}

void Shim::ServeClients() {
  for (int i = 0; i < kMaxClients; ++i) {
    short events = polled_[kClientSlots + i].revents;
    Client& client = clients_[i];
    if (events == 0 || !client.open())
      continue;
    bool good = true;
    // Reading also finds out that the client is gone.
    if ((client.Events(container_) & POLLIN) != 0 && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
      good = client.Receive(container_);
      greeted_ = greeted_ || client.said_hello();
    }
    good = good && client.Send(container_.out().chunk(), container_.err().chunk());
    if (!good)
      Drop(client);
  }
}

void Shim::ServeStream(Stream& stream) {
  for (size_t taken = 0; taken < kTurn && stream.open() && !Owed(stream.kind());) {
    if (!stream.Read(container_.log()))
      return;
    taken += stream.chunk().size;
    Distribute(stream);
  }
}

void Shim::Distribute(Stream& stream) {
  for (Client& client : clients_) {
    if (!client.open())
      continue;
    client.Offer(stream.kind());
    if (!client.Send(container_.out().chunk(), container_.err().chunk()))
      Drop(client);
  }
}

bool Shim::Owed(Kind stream) const {
  for (const Client& client : clients_) {
    if (client.Owes(stream))
      return true;
  }
  return false;
}

void Shim::Accept() {
  for (Client& client : clients_) {
    if (client.open())
      continue;
    int connection = accept4(kListenFd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0)
      return;
    if (IsTrusted(connection)) {
      client.Start(connection);
    } else {
      close(connection);
    }
  }
}

void Shim::Drop(Client& client) {
  bool last_input = client.brings_input() && container_.options().stdin_once;
  client.Close();
  if (last_input)
    container_.CloseInput();
}

// Takes in what clients had to say before the hello: each that wants output is attached from the
// first byte on.
void Shim::EndHold() {
  Accept();
  for (Client& client : clients_) {
    char byte;
    while (client.open() && (client.Events(container_) & POLLIN) != 0 &&
           recv(client.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
      if (!client.Receive(container_) || !client.Send({}, {}))
        Drop(client);
    }
  }
  phase_ = Phase::kRunning;
}

void Shim::Advance() {
  if (phase_ == Phase::kHolding && (greeted_ || NowMilliseconds() >= deadline_))
    EndHold();
  if (phase_ == Phase::kRunning && Ready(kPidSlot) && container_.Reap()) {
    phase_ = Phase::kDraining;
    deadline_ = NowMilliseconds() + kDrainMilliseconds;
  }
  if (phase_ == Phase::kDraining) {
    bool drained = !container_.out().open() && !container_.err().open();
    if (!drained && NowMilliseconds() < deadline_)
      return;
    if (!drained)
      EndDrain();
    Finish();
  }
  if (phase_ == Phase::kTelling)
    TellExit();
}

// Clients that did not take their output in time must not keep the rest from the log.
void Shim::EndDrain() {
  constexpr size_t kMost = 1024 * 1024;
  for (Client& client : clients_) {
    if (client.Owes(kStdout) || client.Owes(kStderr))
      Drop(client);
  }
  for (Stream* stream : {&container_.out(), &container_.err()}) {
    for (size_t taken = 0; taken < kMost && stream->open() && stream->Read(container_.log());) {
      taken += stream->chunk().size;
      Distribute(*stream);
      for (Client& client : clients_) {
        if (client.Owes(stream->kind()))
          Drop(client);
      }
    }
    stream->End(container_.log());
  }
}

void Shim::Finish() {
  container_.log().Flush();
  container_.Finish();
  // Before anybody is told: the next start of the container makes a socket of the same name.
  struct stat info{};
  if (fstatat(kStateDirFd, kSocketName, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      info.st_ino == socket_inode_) {
    unlinkat(kStateDirFd, kSocketName, 0);
  }
  Accept();
  phase_ = Phase::kTelling;
  deadline_ = NowMilliseconds() + kLingerMilliseconds;
}

void Shim::TellExit() {
  const auto& record = container_.record();
  for (Client& client : clients_) {
    if (!client.open() || client.told_exit())
      continue;
    client.QueueExit(record.data(), record.size());
    if (!client.Send({}, {}))
      Drop(client);
    if (client.open() && client.told_exit() && client.Idle())
      shutdown(client.fd(), SHUT_WR);
  }
}

bool Shim::Deserted() const {
  for (const Client& client : clients_) {
    if (client.open())
      return false;
  }
  return true;
}

bool Takes(const char* argument, const char* key, const char*& value) {
  size_t length = strlen(key);
  if (strncmp(argument, key, length) != 0)
    return false;
  value = argument + length;
  return true;
}

// Keys that are not known come from a newer launcher and are passed over.
Options ReadArguments(int count, char** arguments) {
  Options options;
  options.id = arguments[1];
  options.pid = static_cast<pid_t>(ReadNumber(arguments[2]));
  for (int i = 3; i < count; ++i) {
    const char* value = "";
    if (Takes(arguments[i], "tty=", value))
      options.tty = *value == '1';
    if (Takes(arguments[i], "log=", value))
      options.log = strcmp(value, "json-file") == 0;
    if (Takes(arguments[i], "log-size=", value))
      options.log_size = ReadNumber(value);
    if (Takes(arguments[i], "log-files=", value))
      options.log_files = static_cast<uint32_t>(ReadNumber(value));
    if (Takes(arguments[i], "stdin-once=", value))
      options.stdin_once = *value == '1';
  }
  return options;
}

void PrepareProcess() {
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2})
    signal(number, SIG_IGN);
  // Executed by descriptor, which kernels before 6.14 make the name.
  prctl(PR_SET_NAME, "wherry-shim");
  // Without the shim the container's end would go unrecorded: let it be the last to be killed for
  // memory.
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file >= 0) {
    (void)!write(file, "-999", 4);
    close(file);
  }
}

alignas(Shim) char g_memory[sizeof(Shim)];

}  // namespace

}  // namespace wherry::shim

int main(int count, char** arguments) {
  if (count > 1 && wherry::shim::IsInit(arguments[0]))
    return wherry::shim::RunInit(arguments + 1);
  if (count < 3) {
    constexpr char kUsage[] =
        "wherry-shim is started by wherry for each container; it is not a command.\n";
    (void)!write(2, kUsage, sizeof kUsage - 1);
    return 2;
  }
  using wherry::shim::Buffers;
  wherry::shim::PrepareProcess();
  // Pages of their own, so that what is not used does not share one with what is.
  void* pages =
      mmap(nullptr, sizeof(Buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    return 1;
  auto* shim = new (wherry::shim::g_memory) wherry::shim::Shim;
  shim->Run(wherry::shim::ReadArguments(count, arguments), *static_cast<Buffers*>(pages));
  return 0;
}
