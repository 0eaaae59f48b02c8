// Load for a server, and a server for it, over kept and over fresh connections.
//
//   netload serve PORT TEXT [DELAY_MS]
//     answers every line with "TEXT LINE"; listens after DELAY_MS
//   netload load HOST PORT RATE SECONDS [PATIENCE]
//     a connection RATE times a second, whatever became of the ones before: one line, one answer.
//     Prints what became of all, as JSON
//   netload order HOST SECONDS PORT...
//     asks these ports in turns, one after the other; prints each text that is not that of the
//     answer before
//   netload keep HOST PORT SECONDS
//     one connection that asks ten times a second, prints each new text and how it ended
// HOST is an address. A request of `load` that has no answer after PATIENCE seconds is lost, 5.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <string>

namespace {

constexpr double kPatience = 5;
constexpr rlim_t kConnections = 60'000;  // as many as there are ports

double Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

sockaddr_in Address(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(atoi(port)));
  inet_aton(host, &address.sin_addr);
  return address;
}

sockaddr* Generic(sockaddr_in* address) {
  return reinterpret_cast<sockaddr*>(address);
}

void Watch(int queue, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
}

void Accept(int listener, int queue) {
  int fd;
  while ((fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0)
    Watch(queue, fd, EPOLLIN);
}

// One read, which holds whole lines: those who ask are no further than the same machine.
void Answer(int fd, const char* text) {
  char line[512];
  ssize_t count = read(fd, line, sizeof line);
  if (count <= 0) {
    close(fd);
    return;
  }
  char answer[1024];
  int size = snprintf(answer, sizeof answer, "%s %.*s", text, static_cast<int>(count), line);
  if (write(fd, answer, static_cast<size_t>(size)) < 0)
    close(fd);
}

int Serve(char** words) {
  if (words[2] != nullptr)
    usleep(static_cast<useconds_t>(atoi(words[2])) * 1000);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in any = Address("0.0.0.0", words[0]);
  if (bind(listener, Generic(&any), sizeof any) < 0 || listen(listener, 1024) < 0) {
    perror("listen");
    return 1;
  }
  int queue = epoll_create1(0);
  Watch(queue, listener, EPOLLIN);
  for (;;) {
    epoll_event events[64];
    int count = epoll_wait(queue, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == listener)
        Accept(listener, queue);
      else
        Answer(events[i].data.fd, words[1]);
    }
  }
}

// What became of the requests.
struct Tally {
  int sent = 0;
  int answered = 0;
  std::map<std::string, int> lost;   // by reason
  std::map<std::string, int> texts;  // who answered
  double slowest = 0;
  double last = 0;  // answer
  double gap = 0;   // the longest time without one

  void Good(double asked, const std::string& text) {
    double now = Now();
    ++answered;
    ++texts[text];
    if (now - asked > slowest)
      slowest = now - asked;
    if (last != 0 && now - last > gap)
      gap = now - last;
    last = now;
  }
};

void Print(const char* name, const std::map<std::string, int>& counts) {
  printf(", \"%s\": {", name);
  const char* comma = "";
  for (const auto& [key, count] : counts) {
    printf("%s\"%s\": %d", comma, key.c_str(), count);
    comma = ", ";
  }
  printf("}");
}

class Load {
 public:
  Load(const char* host, const char* port, double patience)
      : server_(Address(host, port)), patience_(patience) {}

  void Ask() {
    ++tally_.sent;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) {
      ++tally_.lost[strerror(errno)];
      return;
    }
    asked_[fd] = Now();
    if (connect(fd, Generic(&server_), sizeof server_) < 0 && errno != EINPROGRESS)
      return Lost(fd, strerror(errno));
    Watch(queue_, fd, EPOLLOUT);
  }

  void Wait(double until) {
    double left = until - Now();
    epoll_event events[64];
    int count = epoll_wait(queue_, events, 64, left > 0 ? static_cast<int>(left * 1000) : 0);
    for (int i = 0; i < count; ++i)
      Ready(events[i].data.fd, events[i].events);
  }

  void DropLate() {
    if (Now() < look_)
      return;
    look_ = Now() + 0.1;
    for (auto one = asked_.begin(); one != asked_.end();) {
      auto here = one++;
      if (Now() - here->second >= patience_)
        Lost(here->first, "no answer");
    }
  }

  bool idle() const { return asked_.empty(); }
  const Tally& tally() const { return tally_; }

 private:
  void Lost(int fd, const char* why) {
    ++tally_.lost[why];
    asked_.erase(fd);
    close(fd);
  }

  void Ready(int fd, uint32_t events) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
      return Lost(fd, strerror(error));
    if ((events & EPOLLIN) != 0)
      return Read(fd);
    if (write(fd, "x\n", 2) != 2)
      return Lost(fd, strerror(errno));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(queue_, EPOLL_CTL_MOD, fd, &event);
  }

  void Read(int fd) {
    char text[512];
    ssize_t count = read(fd, text, sizeof text);
    if (count <= 0)
      return Lost(fd, count == 0 ? "closed without an answer" : strerror(errno));
    tally_.Good(asked_[fd], std::string(text, strcspn(text, " ")));
    asked_.erase(fd);
    // Or its port would be taken for a minute.
    linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
  }

  sockaddr_in server_;
  double patience_;
  double look_ = 0;  // when to look for late ones next
  int queue_ = epoll_create1(0);
  std::map<int, double> asked_;
  Tally tally_;
};

int LoadServer(char** words) {
  rlimit files{kConnections, kConnections};
  setrlimit(RLIMIT_NOFILE, &files);
  Load load(words[0], words[1], words[4] != nullptr ? atof(words[4]) : kPatience);
  double period = 1 / atof(words[2]);
  double begun = Now();
  double end = begun + atof(words[3]);
  double next = begun;
  while (next < end) {
    for (; next <= Now() && next < end; next += period)
      load.Ask();
    load.Wait(next);
    load.DropLate();
  }
  while (!load.idle()) {
    load.Wait(Now() + 0.1);
    load.DropLate();
  }
  const Tally& tally = load.tally();
  int lost = tally.sent - tally.answered;
  printf("{\"sent\": %d, \"answered\": %d, \"lost\": %d, \"rate\": %.1f", tally.sent,
         tally.answered, lost, tally.sent / (end - begun));
  printf(", \"slowest_ms\": %.1f, \"gap_ms\": %.1f", tally.slowest * 1e3, tally.gap * 1e3);
  Print("why", tally.lost);
  Print("texts", tally.texts);
  printf("}\n");
  return 0;
}

int Keep(char** words) {
  sockaddr_in server = Address(words[0], words[1]);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  timeval patience{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  double end = Now() + atof(words[2]);
  if (connect(fd, Generic(&server), sizeof server) < 0) {
    perror("connect");
    return 1;
  }
  std::string before;
  while (Now() < end) {
    char text[512];
    ssize_t count = write(fd, "x\n", 2) == 2 ? read(fd, text, sizeof text) : -1;
    if (count <= 0) {
      printf("%s\n", count == 0 ? "closed" : strerror(errno));
      return 0;
    }
    std::string now(text, strcspn(text, " "));
    if (now != before)
      printf("%s\n", now.c_str());
    before = now;
    usleep(100000);
  }
  printf("done\n");
  return 0;
}

// The text of one answer, "lost" without one.
std::string AskOnce(const char* host, const char* port) {
  sockaddr_in server = Address(host, port);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  timeval patience{30, 0};  // an emulated machine under load takes its time
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char text[512];
  ssize_t count = -1;
  if (connect(fd, Generic(&server), sizeof server) == 0 && write(fd, "x\n", 2) == 2)
    count = read(fd, text, sizeof text);
  close(fd);
  return count > 0 ? std::string(text, strcspn(text, " ")) : "lost";
}

int Order(char** words) {
  double end = Now() + atof(words[1]);
  std::string before;
  while (Now() < end) {
    for (char** port = words + 2; *port != nullptr; ++port) {
      std::string now = AskOnce(words[0], *port);
      if (now != before)
        printf("%s\n", now.c_str());
      before = now;
    }
    usleep(1000);
  }
  return 0;
}

struct Row {
  const char* name;
  int words;
  int (*run)(char** words);
};
constexpr Row kRows[] = {
    {"serve", 2, Serve}, {"load", 4, LoadServer}, {"keep", 3, Keep}, {"order", 3, Order}};

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  signal(SIGTERM, [](int) { _exit(0); });
  for (const Row& row : kRows) {
    if (argc >= 2 + row.words && strcmp(argv[1], row.name) == 0)
      return row.run(argv + 2);
  }
  fprintf(stderr, "netload: see tests/images/netload.cpp\n");
  return 64;
}
