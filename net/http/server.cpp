#include "net/http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "net/http/connection.h"
#include "net/tls/listener.h"
#include "net/tls/tls_channel.h"

namespace wherry::http {

namespace {

constexpr int kAcceptsPerEvent = 16;
constexpr std::chrono::milliseconds kAcceptPause{100};

class LoopServer final : public Server {
 public:
  explicit LoopServer(std::shared_ptr<ServerCore> core) : core_(std::move(core)) {}

  ~LoopServer() override {
    Stop();
    auto connections = core_->connections;  // Abort takes them out
    for (const auto& connection : connections) {
      connection->Abort();
    }
  }

  Result<> Listen(UniqueFd listener, std::shared_ptr<const tls::Config> tls) override {
    int fd = listener.get();
    TRY(core_->loop->Add(fd, EPOLLIN,
                         [this, fd, tls = std::move(tls)](uint32_t) { Accept(fd, tls); }));
    listeners_.push_back(std::move(listener));
    return {};
  }

  void Stop() override {
    core_->stopping = true;
    core_->loop->Cancel(std::exchange(pause_timer_, 0));
    for (const UniqueFd& listener : listeners_) {
      core_->loop->Remove(listener.get());
    }
    listeners_.clear();
    auto connections = core_->connections;
    for (const auto& connection : connections) {
      connection->CloseIfIdle();
    }
  }

 private:
  void Accept(int listener, const std::shared_ptr<const tls::Config>& tls) {
    for (int i = 0; i < kAcceptsPerEvent; ++i) {
      UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          Pause();
        }
        return;  // nobody waits, or the client gave up
      }
      auto channel = MakeChannel(std::move(fd), tls);
      if (!channel)
        continue;  // too many, or no memory: closed
      auto connection = std::make_shared<Connection>(core_, std::move(channel));
      if (connection->Start()) {
        core_->connections.insert(std::move(connection));
      }
    }
  }

  std::unique_ptr<tls::Channel> MakeChannel(UniqueFd fd,
                                            const std::shared_ptr<const tls::Config>& config) {
    if (!config)
      return tls::PlainChannel(std::move(fd), "the client");
    if (core_->remotes >= core_->options.max_remotes)
      return nullptr;
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));  // clients that are gone
    std::string name = tls::PeerAddress(fd.get());
    auto channel = tls::TlsChannel(std::move(fd), config, "", std::move(name));
    return channel ? std::move(*channel) : nullptr;
  }

  // Out of descriptors or memory: clients wait in the backlog instead of making the loop spin.
  void Pause() {
    if (pause_timer_ != 0) {
      return;
    }
    Listening(0);
    pause_timer_ = core_->loop->After(kAcceptPause, [this] {
      pause_timer_ = 0;
      Listening(EPOLLIN);
    });
  }

  void Listening(uint32_t events) {
    for (const UniqueFd& listener : listeners_) {
      // Fails only for descriptors that are not watched.
      [[maybe_unused]] Result<> done = core_->loop->Modify(listener.get(), events);
    }
  }

  std::shared_ptr<ServerCore> core_;
  std::vector<UniqueFd> listeners_;
  Loop::TimerId pause_timer_ = 0;
};

}  // namespace

std::unique_ptr<Server> Server::Create(Loop* loop, ServerOptions options, StreamsBody streams_body,
                                       Handler handler) {
  auto core = std::make_shared<ServerCore>();
  core->loop = loop;
  core->options = std::move(options);
  core->streams_body = std::move(streams_body);
  core->handler = std::move(handler);
  return std::make_unique<LoopServer>(std::move(core));
}

}  // namespace wherry::http
