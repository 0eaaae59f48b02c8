#include "net/tls/dialer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "core/base/text.h"
#include "net/tls/tls_channel.h"

namespace wherry::tls {

std::string Target::name() const {
  bool v6 = host.find(':') != std::string::npos;
  return Cat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

Dialer::Dialer(Loop* loop, Target target, std::chrono::seconds patience, Done done)
    : loop_(loop), target_(std::move(target)), patience_(patience), done_(std::move(done)) {
  resolve_ = std::make_unique<Resolve>(
      loop, target_.host, target_.port, [this](Result<std::vector<Address>> addresses) {
        if (!addresses)
          return Finish(std::unexpected(std::move(addresses).error()));
        addresses_ = std::move(*addresses);
        TryNext();
      });
}

Dialer::~Dialer() {
  Forget();
}

void Dialer::Forget() {
  loop_->Cancel(std::exchange(timer_, 0));
  if (fd_)
    loop_->Remove(fd_.get());
  fd_.Reset();
}

void Dialer::TryNext() {
  while (next_ < addresses_.size()) {
    if (Try(addresses_[next_++]))
      return;
    last_error_ = errno;
    Forget();
  }
  bool slow = last_error_ == ETIMEDOUT;
  Finish(Fail(slow ? Errc::kTimeout : Errc::kUnavailable,
              Cat("cannot connect to ", target_.name(), ": ",
                  slow ? "no answer in time; check the network, the address and the firewall"
                       : Cat(ToLower(ErrnoText(last_error_)),
                             "; check the address, and that the server is running"))));
}

Result<> Dialer::Try(const Address& address) {
  fd_.Reset(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_)
    return FailSys("socket");
  int on = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd_.get(), address.get(), address.size) != 0 && errno != EINPROGRESS)
    return FailSys("connect");
  TRY(loop_->Add(fd_.get(), EPOLLOUT, [this](uint32_t) { OnEvents(); }));
  timer_ = loop_->After(patience_, [this] {
    timer_ = 0;
    Failed(ETIMEDOUT);
  });
  return {};
}

void Dialer::OnEvents() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error != 0)
    return Failed(error);
  Connected();
}

void Dialer::Failed(int error_number) {
  last_error_ = error_number;
  Forget();
  TryNext();
}

void Dialer::Connected() {
  loop_->Remove(fd_.get());
  UniqueFd fd = std::move(fd_);
  if (target_.tls == nullptr)
    return Finish(PlainChannel(std::move(fd), target_.name()));
  Finish(TlsChannel(std::move(fd), target_.tls, target_.host, target_.name()));
}

void Dialer::Finish(Result<std::unique_ptr<Channel>> result) {
  Forget();
  Done done = std::move(done_);
  done(std::move(result));
}

}  // namespace wherry::tls
