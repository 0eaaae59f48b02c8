#include "core/sys/dbus.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

#include "core/base/text.h"
#include "core/base/time.h"
#include "core/sys/unix_socket.h"

namespace wherry::sys {

namespace {

constexpr size_t kLongestLine = 512;
constexpr size_t kMostSignals = 1000;
constexpr int kMostChallenges = 2;

struct ErrorRow {
  std::string_view name;  // what follows its last dot
  Errc code;
};
constexpr ErrorRow kErrors[] = {
    {"UnitExists", Errc::kExists},
    {"NoSuchUnit", Errc::kNotFound},
    {"UnknownObject", Errc::kNotFound},
    {"AccessDenied", Errc::kDenied},
    {"InteractiveAuthorizationRequired", Errc::kDenied},
    {"InvalidArgs", Errc::kInvalid},
    {"PropertyReadOnly", Errc::kUnsupported},  // as systemd says of one it does not have
    {"UnknownProperty", Errc::kUnsupported},
    {"UnknownMethod", Errc::kUnsupported},
};

Error ErrorOf(const DbusMessage& call, const DbusMessage& reply) {
  std::optional<Pair> parts = SplitLast(reply.error_name, '.');
  std::string_view name = parts ? parts->tail : std::string_view(reply.error_name);
  const ErrorRow* row = std::ranges::find(kErrors, name, &ErrorRow::name);
  DbusReader body(reply.body);
  Result<std::string_view> text = Fail(Errc::kCorrupt, "");
  if (reply.signature.starts_with('s'))
    text = body.Text('s');
  return {row == std::end(kErrors) ? Errc::kUnavailable : row->code,
          Cat(call.member, ": ", text ? *text : std::string_view(reply.error_name))};
}

}  // namespace

Result<DbusConnection> DbusConnection::Open(const std::string& path, Peer peer, std::string signal,
                                            std::chrono::milliseconds timeout) {
  UniqueFd socket = TRY(ConnectUnix(path, SOCK_STREAM));
  DbusConnection connection(std::move(socket), peer, std::move(signal), timeout);
  TRY_CTX(path, connection.Authenticate());
  if (peer == Peer::kBus) {
    TRY_CTX(path, connection.Call({.path = "/org/freedesktop/DBus",
                                   .interface = "org.freedesktop.DBus",
                                   .member = "Hello",
                                   .destination = "org.freedesktop.DBus"}));
  }
  return connection;
}

// The user is not named: it would be another number where this process is in a user namespace.
// What is asked together with BEGIN is there for its answer: systemd may read BEGIN and what
// follows at once, and then does not look at the latter before something else comes. Descriptors
// that somebody passes are closed by recv.
Result<> DbusConnection::Authenticate() {
  deadline_ = Uptime() + timeout_;
  using namespace std::string_view_literals;
  TRY(Send("\0AUTH EXTERNAL\r\n"sv));
  for (int i = 0; i < kMostChallenges; ++i) {
    std::string line = TRY(ReadLine());
    if (line.starts_with("OK")) {
      TRY(Send("NEGOTIATE_UNIX_FD\r\nBEGIN\r\n"));
      TRY(ReadLine());
      return {};
    }
    if (!line.starts_with("DATA"))
      break;
    TRY(Send("DATA\r\n"));
  }
  return Fail(Errc::kDenied, "D-Bus does not accept this user");
}

// The other side says nothing after it until it is asked again.
Result<std::string> DbusConnection::ReadLine() {
  std::string line;
  while (!line.ends_with("\r\n")) {
    std::array<char, kLongestLine> buffer;
    size_t size = TRY(Receive(buffer.data(), buffer.size()));
    line.append(buffer.data(), size);
    if (line.size() > kLongestLine)
      return Fail(Errc::kCorrupt, "what is there does not speak D-Bus");
  }
  return line;
}

Result<> DbusConnection::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR)
      return FailSys("send");
    bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  return {};
}

Result<size_t> DbusConnection::Receive(char* to, size_t size) {
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Uptime());
    pollfd readable{socket_.get(), POLLIN, 0};
    int ready = left.count() > 0 ? poll(&readable, 1, static_cast<int>(left.count())) : 0;
    if (ready == 0)
      return Fail(Errc::kTimeout, Cat("no answer within ", timeout_.count() / 1000, " seconds"));
    ssize_t n = ready < 0 ? -1 : recv(socket_.get(), to, size, 0);
    if (n > 0)
      return static_cast<size_t>(n);
    if (n == 0)
      return Fail(Errc::kUnavailable, "the connection was closed");
    if (errno != EINTR)
      return FailSys("recv");
  }
}

Result<> DbusConnection::Fill(std::string& bytes, size_t size) {
  size_t have = bytes.size();
  bytes.resize(size);
  while (have < size) {
    size_t more = TRY(Receive(bytes.data() + have, size - have));
    have += more;
  }
  return {};
}

Result<DbusMessage> DbusConnection::Read() {
  std::string bytes;
  TRY(Fill(bytes, kDbusStart));
  size_t size = TRY(DbusMessageSize(bytes));
  TRY(Fill(bytes, size));
  return ParseDbusMessage(bytes);
}

Result<DbusMessage> DbusConnection::Call(DbusMessage call) {
  deadline_ = Uptime() + timeout_;
  call.serial = ++last_serial_;
  TRY(Send(BuildDbusMessage(call)));
  while (true) {
    DbusMessage message = TRY_CTX(call.member, Read());
    if (message.kind == DbusKind::kSignal && message.member == signal_ &&
        signals_.size() < kMostSignals) {
      signals_.push_back(std::move(message));
    } else if (message.reply_serial == call.serial && message.kind == DbusKind::kReply) {
      return message;
    } else if (message.reply_serial == call.serial && message.kind == DbusKind::kError) {
      return std::unexpected(ErrorOf(call, message));
    }
  }
}

Result<DbusMessage> DbusConnection::AwaitSignal(
    const std::function<bool(const DbusMessage&)>& wanted) {
  deadline_ = Uptime() + timeout_;
  auto kept = std::ranges::find_if(signals_, wanted);
  if (kept != signals_.end()) {
    DbusMessage found = std::move(*kept);
    signals_.clear();
    return found;
  }
  signals_.clear();
  while (true) {
    DbusMessage message = TRY(Read());
    if (message.kind == DbusKind::kSignal && message.member == signal_ && wanted(message))
      return message;
  }
}

}  // namespace wherry::sys
