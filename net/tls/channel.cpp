#include "net/tls/channel.h"

#include <sys/socket.h>

#include <cerrno>

#include "core/base/text.h"

namespace wherry::tls {

namespace {

class Plain final : public Channel {
 public:
  Plain(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  int fd() const override { return fd_.get(); }

  IoResult Receive(std::span<char, kRecordBytes> out) override {
    return Outcome(recv(fd_.get(), out.data(), out.size(), MSG_DONTWAIT));
  }

  IoResult Send(std::string_view bytes) override {
    return Outcome(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  uint32_t Events(bool receive, bool send) const override {
    return (receive ? uint32_t{EPOLLIN} : 0) | (send ? uint32_t{EPOLLOUT} : 0);
  }
  bool MaySend(uint32_t events) const override { return (events & EPOLLOUT) != 0; }
  void EndSending() override { shutdown(fd_.get(), SHUT_WR); }
  bool connected() const override { return true; }
  const PeerName* peer_name() const override { return nullptr; }

  Error error() const override {
    return Error(Errc::kUnavailable,
                 Cat("the connection to ", name_, " was lost: ", ToLower(ErrnoText(errno_))));
  }

 private:
  IoResult Outcome(ssize_t count) {
    if (count > 0)
      return {Io::kDone, static_cast<size_t>(count)};
    if (count == 0)
      return {Io::kEnd};
    if (errno == EAGAIN || errno == EINTR)
      return {Io::kAgain};
    errno_ = errno;
    return {Io::kError};
  }

  UniqueFd fd_;
  std::string name_;
  int errno_ = 0;
};

}  // namespace

std::unique_ptr<Channel> PlainChannel(UniqueFd fd, std::string name) {
  return std::make_unique<Plain>(std::move(fd), std::move(name));
}

}  // namespace wherry::tls
