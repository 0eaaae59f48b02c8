#include "net/tls/resolve.h"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "core/base/text.h"

namespace wherry::tls {

namespace {

constexpr size_t kMostAddresses = 8;
constexpr int kTryMs = 3000;
constexpr int kTries = 3;

struct ListDeleter {
  void operator()(ares_addrinfo* list) const { ares_freeaddrinfo(list); }
};
using List = std::unique_ptr<ares_addrinfo, ListDeleter>;

std::vector<Address> Take(const ares_addrinfo& list) {
  std::vector<Address> addresses;
  for (const ares_addrinfo_node* node = list.nodes; node != nullptr; node = node->ai_next) {
    bool known = node->ai_family == AF_INET || node->ai_family == AF_INET6;
    if (!known || node->ai_addrlen > sizeof(sockaddr_storage))
      continue;
    if (addresses.size() == kMostAddresses)
      break;
    Address address;
    memcpy(&address.storage, node->ai_addr, node->ai_addrlen);
    address.size = node->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

Error Unknown(std::string_view host, int status) {
  if (status == ARES_ETIMEOUT || status == ARES_ECONNREFUSED) {
    return Error(Errc::kTimeout, Cat("cannot find the host ", host,
                                     ": no name server answers; "
                                     "check the network and /etc/resolv.conf"));
  }
  if (status == ARES_ENOMEM)
    return Error(Errc::kNoSpace, "out of memory for a look-up of a name");
  return Error(Errc::kUnavailable, Cat("cannot find the host ", host,
                                       ": its name is not known; check the name, and "
                                       "the name servers in /etc/resolv.conf"));
}

}  // namespace

class Resolve::Query {
 public:
  Query(Loop* loop, std::string host, Done done)
      : loop_(loop), host_(std::move(host)), done_(std::move(done)), alive_(new char) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  void Begin(uint16_t port);

 private:
  static void OnSocket(void* self_pointer, ares_socket_t fd, int readable, int writable);
  static void OnAnswer(void* self_pointer, int status, int timeouts, ares_addrinfo* answer);
  void Process(ares_socket_t readable, ares_socket_t writable);
  void ArmTimer();
  void Finish(Result<std::vector<Address>> result);

  Loop* loop_;
  std::string host_;
  Done done_;
  std::shared_ptr<char> alive_;
  ares_channel_t* channel_ = nullptr;
  std::set<int> sockets_;
  Loop::TimerId timer_ = 0;
  bool finished_ = false;
};

Resolve::Query::~Query() {
  finished_ = true;
  loop_->Cancel(timer_);
  if (channel_ != nullptr)
    ares_destroy(channel_);
  for (int fd : sockets_)
    loop_->Remove(fd);
}

void Resolve::Query::Begin(uint16_t port) {
  ares_options options{};
  options.timeout = kTryMs;
  options.tries = kTries;
  options.sock_state_cb = &Query::OnSocket;
  options.sock_state_cb_data = this;
  int status = ares_init_options(&channel_, &options,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    channel_ = nullptr;
    return Finish(std::unexpected(Unknown(host_, status)));
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NUMERICSERV;
  ares_getaddrinfo(channel_, host_.c_str(), std::to_string(port).c_str(), &hints, &Query::OnAnswer,
                   this);
  ArmTimer();
}

void Resolve::Query::OnSocket(void* self_pointer, ares_socket_t fd, int readable, int writable) {
  auto* self = static_cast<Query*>(self_pointer);
  uint32_t events =
      (readable != 0 ? uint32_t{EPOLLIN} : 0) | (writable != 0 ? uint32_t{EPOLLOUT} : 0);
  if (events == 0) {
    if (self->sockets_.erase(fd) != 0)
      self->loop_->Remove(fd);
    return;
  }
  if (self->sockets_.contains(fd)) {
    // A descriptor that cannot be watched ends by the timeout.
    (void)self->loop_->Modify(fd, events);
    return;
  }
  auto on_events = [self, fd](uint32_t happened) {
    bool read = (happened & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
    bool write = (happened & EPOLLOUT) != 0;
    self->Process(read ? fd : ARES_SOCKET_BAD, write ? fd : ARES_SOCKET_BAD);
  };
  if (self->loop_->Add(fd, events, std::move(on_events)))
    self->sockets_.insert(fd);
}

void Resolve::Query::Process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  ArmTimer();
}

void Resolve::Query::ArmTimer() {
  loop_->Cancel(std::exchange(timer_, 0));
  timeval wait;
  if (finished_ || ares_timeout(channel_, nullptr, &wait) == nullptr)
    return;
  auto delay = std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec);
  timer_ = loop_->After(delay + std::chrono::milliseconds(1), [this] {
    timer_ = 0;
    Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

void Resolve::Query::OnAnswer(void* self_pointer, int status, int, ares_addrinfo* answer) {
  List list(answer);
  auto* self = static_cast<Query*>(self_pointer);
  if (self->finished_)
    return;  // destroyed
  std::vector<Address> addresses;
  if (status == ARES_SUCCESS && list)
    addresses = Take(*list);
  if (addresses.empty())
    return self->Finish(std::unexpected(Unknown(self->host_, status)));
  self->Finish(std::move(addresses));
}

// Later, because c-ares is still in the call that `done` may want to end.
void Resolve::Query::Finish(Result<std::vector<Address>> result) {
  finished_ = true;
  auto shared = std::make_shared<Result<std::vector<Address>>>(std::move(result));
  loop_->Post([this, shared, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired())
      return;
    Done done = std::move(done_);
    done(std::move(*shared));
  });
}

Resolve::Resolve(Loop* loop, std::string host, uint16_t port, Done done)
    : query_(std::make_unique<Query>(loop, std::move(host), std::move(done))) {
  query_->Begin(port);
}

Resolve::~Resolve() = default;

}  // namespace wherry::tls
