#include "engine/network/resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr char kHostServers[] = "/etc/resolv.conf";
constexpr size_t kMaxServersFile = 64 << 10;
constexpr size_t kMaxServers = 3;   // as C libraries
constexpr size_t kMaxPending = 64;  // queries of one container that wait for others
constexpr size_t kMaxStreams = 8;   // connections of one container
constexpr size_t kMaxQueriesAtOnce = 32;
constexpr std::chrono::seconds kStreamPatience{10};

// A name has addresses, and nothing of any other type.
net::DnsMessage AnswerWith(std::span<const uint8_t> query, const net::DnsQuestion& question,
                           std::span<const net::Ipv4> found) {
  std::vector<uint32_t> addresses;
  if (question.type == net::DnsType::kA) {
    for (net::Ipv4 address : found)
      addresses.push_back(address.value);
  }
  return net::AnswerDnsAddresses(query, question, addresses);
}

// Answers from what the engine knows; nothing when others are to be asked.
std::optional<net::DnsMessage> LocalAnswer(const Networks& networks, std::string_view container,
                                           std::span<const uint8_t> query,
                                           const net::DnsQuestion& question) {
  if (!question.internet)
    return std::nullopt;
  if (question.type == net::DnsType::kPtr) {
    auto address = net::ReverseAddress(question.name);
    auto name = address ? networks.NameOf(container, {*address}) : std::nullopt;
    if (!name)
      return std::nullopt;
    return net::AnswerDnsName(query, question, *name);
  }
  std::vector<net::Ipv4> found = networks.Resolve(container, question.name);
  if (found.empty())
    return std::nullopt;
  return AnswerWith(query, question, found);
}

}  // namespace

std::vector<std::string> NameServers(std::string_view file) {
  std::vector<std::string> servers;
  for (std::string_view line : Split(file, '\n')) {
    line = Trim(line);
    constexpr std::string_view kWord = "nameserver";
    if (line.starts_with(kWord) && servers.size() < kMaxServers)
      servers.emplace_back(Trim(line.substr(kWord.size())));
  }
  return servers;
}

// The resolver of one container.
class Resolver::Box {
 public:
  Box(Loop* loop, const Networks* networks, Service service)
      : loop_(loop), networks_(networks), service_(std::move(service)) {}
  ~Box();
  Result<> Start();

 private:
  using Reply = std::move_only_function<void(net::DnsMessage)>;
  // A connection; one query at a time.
  struct Stream {
    UniqueFd socket;
    net::DnsMessage in;
    bool waits = false;
    Loop::TimerId timer = 0;
  };

  void ReceiveDatagrams();
  void Accept();
  void ReceiveStream(uint64_t id);
  void AnswerStream(uint64_t id, const net::DnsMessage& answer);
  void CloseStream(uint64_t id);
  void Handle(std::span<const uint8_t> query, DnsForward::Transport transport, Reply reply);
  void AskPeers(std::vector<Networks::Remote> remotes, std::span<const uint8_t> query,
                const net::DnsQuestion& question, DnsForward::Transport transport, Reply reply);
  void Forward(std::span<const uint8_t> query, const net::DnsQuestion& question,
               DnsForward::Transport transport, Reply reply);
  std::vector<std::string> Servers() const;

  Loop* loop_;
  const Networks* networks_;
  Service service_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<PeerQuestion>> asking_;
  std::map<uint64_t, std::unique_ptr<DnsForward>> pending_;
  std::map<uint64_t, Stream> streams_;
};

Result<> Resolver::Box::Start() {
  TRY(loop_->Add(service_.udp.get(), EPOLLIN, [this](uint32_t) { ReceiveDatagrams(); }));
  return loop_->Add(service_.tcp.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

Resolver::Box::~Box() {
  loop_->Remove(service_.udp.get());
  loop_->Remove(service_.tcp.get());
  for (auto& [id, stream] : streams_) {
    loop_->Remove(stream.socket.get());
    loop_->Cancel(stream.timer);
  }
}

std::vector<std::string> Resolver::Box::Servers() const {
  // Nothing leaves an internal network, not even by names.
  if (!networks_->LeadsOut(service_.container_id))
    return {};
  if (!service_.servers.empty())
    return service_.servers;
  auto file = ReadFile(kHostServers, kMaxServersFile);
  return file ? NameServers(*file) : std::vector<std::string>();
}

void Resolver::Box::Handle(std::span<const uint8_t> query, DnsForward::Transport transport,
                           Reply reply) {
  auto question = net::ParseDnsQuestion(query);
  if (!question)
    return;
  if (auto answer = LocalAnswer(*networks_, service_.container_id, query, *question))
    return reply(std::move(*answer));
  if (pending_.size() + asking_.size() >= kMaxPending)
    return reply(net::AnswerDnsCode(query, *question, net::DnsCode::kServerFailure));
  // Names with dots are the world's: a device that is away would delay each of them.
  bool ours = question->internet && !question->name.empty() && !question->name.contains('.');
  auto remotes =
      ours ? networks_->RemotesOf(service_.container_id) : std::vector<Networks::Remote>();
  if (remotes.empty())
    return Forward(query, *question, transport, std::move(reply));
  AskPeers(std::move(remotes), query, *question, transport, std::move(reply));
}

void Resolver::Box::AskPeers(std::vector<Networks::Remote> remotes, std::span<const uint8_t> query,
                             const net::DnsQuestion& question, DnsForward::Transport transport,
                             Reply reply) {
  uint64_t id = next_id_++;
  auto asked = std::make_unique<PeerQuestion>(
      loop_, std::move(remotes), question.name,
      [this, id, copy = net::DnsMessage(query.begin(), query.end()), question, transport,
       reply = std::move(reply)](const std::vector<net::Ipv4>& addresses) mutable {
        auto done = asking_.extract(id);
        if (addresses.empty())
          return Forward(copy, question, transport, std::move(reply));
        reply(AnswerWith(copy, question, addresses));
      });
  PeerQuestion* started = asked.get();
  asking_[id] = std::move(asked);
  started->Start();
}

void Resolver::Box::Forward(std::span<const uint8_t> query, const net::DnsQuestion& question,
                            DnsForward::Transport transport, Reply reply) {
  net::DnsMessage failure = net::AnswerDnsCode(query, question, net::DnsCode::kServerFailure);
  std::vector<std::string> servers = Servers();
  if (servers.empty())
    return reply(std::move(failure));
  uint64_t id = next_id_++;
  auto forward =
      std::make_unique<DnsForward>(loop_, transport, query, std::move(servers),
                                   [this, id, failure = std::move(failure),
                                    reply = std::move(reply)](net::DnsMessage answer) mutable {
                                     auto done = pending_.extract(id);
                                     reply(answer.empty() ? std::move(failure) : std::move(answer));
                                   });
  DnsForward* started = forward.get();
  pending_[id] = std::move(forward);
  started->Start();
}

void Resolver::Box::ReceiveDatagrams() {
  std::array<uint8_t, net::kMaxDnsUdp> buffer;
  for (size_t i = 0; i < kMaxQueriesAtOnce; ++i) {
    sockaddr_in client{};
    socklen_t size = sizeof client;
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&client));
    ssize_t count =
        recvfrom(service_.udp.get(), buffer.data(), buffer.size(), MSG_TRUNC, generic, &size);
    if (count < 0)
      return;
    if (static_cast<size_t>(count) > buffer.size())
      continue;
    std::span<const uint8_t> query(buffer.data(), static_cast<size_t>(count));
    Handle(query, DnsForward::Transport::kUdp, [this, client](const net::DnsMessage& answer) {
      const auto* to = static_cast<const sockaddr*>(static_cast<const void*>(&client));
      (void)sendto(service_.udp.get(), answer.data(), answer.size(), MSG_NOSIGNAL, to,
                   sizeof client);
    });
  }
}

void Resolver::Box::Accept() {
  UniqueFd socket(accept4(service_.tcp.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || streams_.size() >= kMaxStreams)
    return;
  uint64_t id = next_id_++;
  auto added = loop_->Add(socket.get(), EPOLLIN, [this, id](uint32_t) { ReceiveStream(id); });
  if (!added)
    return;
  Stream& stream = streams_[id];
  stream.socket = std::move(socket);
  stream.timer = loop_->After(kStreamPatience, [this, id] { CloseStream(id); });
}

void Resolver::Box::CloseStream(uint64_t id) {
  auto found = streams_.find(id);
  if (found == streams_.end())
    return;
  loop_->Remove(found->second.socket.get());
  loop_->Cancel(found->second.timer);
  streams_.erase(found);
}

void Resolver::Box::ReceiveStream(uint64_t id) {
  Stream& stream = streams_.at(id);
  std::array<uint8_t, net::kMaxDnsUdp> buffer;
  ssize_t count = recv(stream.socket.get(), buffer.data(), buffer.size(), 0);
  if (count < 0 && errno == EAGAIN)
    return;
  // What is asked before the last answer has come waits no longer than its client.
  if (count <= 0 || stream.waits || stream.in.size() > net::kMaxDnsUdp)
    return CloseStream(id);
  stream.in.insert(stream.in.end(), buffer.begin(), buffer.begin() + count);
  if (stream.in.size() < 2)
    return;
  size_t wanted = size_t{stream.in[0]} << 8 | stream.in[1];
  if (wanted > net::kMaxDnsUdp)
    return CloseStream(id);
  if (stream.in.size() < 2 + wanted)
    return;
  net::DnsMessage query(stream.in.begin() + 2,
                        stream.in.begin() + 2 + static_cast<std::ptrdiff_t>(wanted));
  stream.in.clear();
  stream.waits = true;
  if (!net::ParseDnsQuestion(query))
    return CloseStream(id);
  Handle(query, DnsForward::Transport::kTcp,
         [this, id](const net::DnsMessage& answer) { AnswerStream(id, answer); });
}

void Resolver::Box::AnswerStream(uint64_t id, const net::DnsMessage& answer) {
  auto found = streams_.find(id);
  if (found == streams_.end())
    return;
  net::DnsMessage out = net::DnsStreamForm(answer);
  found->second.waits = false;
  // A client that does not read its answers is not waited for.
  ssize_t sent = send(found->second.socket.get(), out.data(), out.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(out.size()))
    CloseStream(id);
}

Resolver::Resolver(Loop* loop, const Networks* networks)
    : loop_(loop), networks_(networks), peers_(loop, networks) {}

Resolver::~Resolver() = default;

void Resolver::Serve(Service service) {
  std::string id = service.container_id;
  Stop(id);
  auto box = std::make_unique<Box>(loop_, networks_, std::move(service));
  auto started = box->Start();
  if (!started)
    return LogWarning("container ", id, " has no resolver: ", started.error().message());
  boxes_[id] = std::move(box);
  NetworksChanged();
}

void Resolver::Stop(const std::string& container_id) {
  boxes_.erase(container_id);
}

}  // namespace wherry::engine
