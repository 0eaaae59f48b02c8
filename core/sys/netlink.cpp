#include "core/sys/netlink.h"

#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "core/base/text.h"

namespace wherry::sys {

namespace {

// The kernel fills up to 32 KiB of a dump into what recvmsg offers.
constexpr size_t kReceiveBytes = 32 << 10;
// Room for a request: the kernel's usual limit is 208 KiB, which 400 firewall rules reach.
constexpr int kBufferBytes = 8 << 20;
constexpr time_t kTimeoutSeconds = 5;

struct FamilyRow {
  int protocol;
  const char* missing;
};

// clang-format off
constexpr FamilyRow kFamilies[] = {
    {NETLINK_ROUTE,     "the kernel has no rtnetlink (CONFIG_NET)"},
    {NETLINK_NETFILTER, "the kernel has no netfilter netlink: build it with CONFIG_NETFILTER_NETLINK and CONFIG_NF_TABLES"},
};
// clang-format on

size_t Aligned(size_t size) {
  return NLMSG_ALIGN(size);
}

template <class T>
T Load(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

void NetlinkWriter::Start(uint16_t type, uint16_t flags, std::span<const uint8_t> header) {
  starts_.push_back(buffer_.size());
  nlmsghdr message{};
  message.nlmsg_type = type;
  message.nlmsg_flags = flags | NLM_F_REQUEST;
  Raw(BytesOf(message));
  Raw(header);
}

void NetlinkWriter::AskAck() {
  uint8_t* flags = buffer_.data() + starts_.back() + offsetof(nlmsghdr, nlmsg_flags);
  uint16_t value = Load<uint16_t>(flags) | NLM_F_ACK;
  memcpy(flags, &value, sizeof value);
}

void NetlinkWriter::Raw(std::span<const uint8_t> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  Pad();
}

void NetlinkWriter::Pad() {
  buffer_.resize(Aligned(buffer_.size()));
  Finish();
}

void NetlinkWriter::Finish() {
  size_t start = starts_.back();
  auto length = static_cast<uint32_t>(buffer_.size() - start);
  memcpy(buffer_.data() + start, &length, sizeof length);
}

void NetlinkWriter::Bytes(uint16_t type, std::span<const uint8_t> value) {
  size_t length = NLA_HDRLEN + value.size();
  if (length > UINT16_MAX) {
    too_long_ = true;
    return;
  }
  nlattr attribute{static_cast<uint16_t>(length), type};
  std::span<const uint8_t> header = BytesOf(attribute);
  buffer_.insert(buffer_.end(), header.begin(), header.end());
  Raw(value);
}

void NetlinkWriter::Text(uint16_t type, std::string_view value) {
  std::string terminated(value);
  Bytes(type, {reinterpret_cast<const uint8_t*>(terminated.c_str()), terminated.size() + 1});
}

NetlinkWriter::Nest NetlinkWriter::Open(uint16_t type) {
  size_t start = buffer_.size();
  Bytes(type | NLA_F_NESTED, {});
  return {*this, start};
}

void NetlinkWriter::CloseNest(size_t start) {
  size_t length = buffer_.size() - start;
  if (length > UINT16_MAX) {
    too_long_ = true;
    return;
  }
  auto short_length = static_cast<uint16_t>(length);
  memcpy(buffer_.data() + start, &short_length, sizeof short_length);
}

std::span<const uint8_t> NetlinkWriter::message(size_t index) const {
  if (index >= starts_.size())
    return {};
  size_t end = index + 1 < starts_.size() ? starts_[index + 1] : buffer_.size();
  return bytes().subspan(starts_[index], end - starts_[index]);
}

std::optional<uint32_t> NetlinkWriter::Number(uint32_t first) {
  std::optional<uint32_t> last;
  for (size_t index = 0; index < starts_.size(); ++index) {
    uint8_t* start = buffer_.data() + starts_[index];
    uint32_t sequence = first + static_cast<uint32_t>(index);
    memcpy(start + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    if ((Load<uint16_t>(start + offsetof(nlmsghdr, nlmsg_flags)) & NLM_F_ACK) != 0)
      last = sequence;
  }
  return last;
}

std::span<const uint8_t> NetlinkMessage::Attributes(size_t size) const {
  return Aligned(size) < body.size() ? body.subspan(Aligned(size)) : std::span<const uint8_t>();
}

std::string_view NetlinkAttribute::AsText() const {
  auto* text = reinterpret_cast<const char*>(value.data());
  return {text, strnlen(text, value.size())};
}

std::optional<NetlinkMessage> TakeMessage(std::span<const uint8_t>& rest) {
  if (rest.size() < sizeof(nlmsghdr))
    return std::nullopt;
  auto header = Load<nlmsghdr>(rest.data());
  if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size())
    return std::nullopt;
  NetlinkMessage message;
  message.type = header.nlmsg_type;
  message.flags = header.nlmsg_flags;
  message.sequence = header.nlmsg_seq;
  message.body = rest.subspan(sizeof header, header.nlmsg_len - sizeof header);
  rest = rest.subspan(std::min(Aligned(header.nlmsg_len), rest.size()));
  return message;
}

std::optional<NetlinkAttribute> TakeAttribute(std::span<const uint8_t>& rest) {
  if (rest.size() < sizeof(nlattr))
    return std::nullopt;
  auto header = Load<nlattr>(rest.data());
  if (header.nla_len < sizeof header || header.nla_len > rest.size())
    return std::nullopt;
  NetlinkAttribute attribute;
  attribute.type = header.nla_type & NLA_TYPE_MASK;
  attribute.value = rest.subspan(sizeof header, header.nla_len - sizeof header);
  rest = rest.subspan(std::min(Aligned(header.nla_len), rest.size()));
  return attribute;
}

std::optional<NetlinkAttribute> FindAttribute(std::span<const uint8_t> attributes, uint16_t type) {
  while (auto attribute = TakeAttribute(attributes)) {
    if (attribute->type == type)
      return attribute;
  }
  return std::nullopt;
}

Result<NetlinkSocket> NetlinkSocket::Open(NetlinkFamily family) {
  int protocol = kFamilies[static_cast<size_t>(family)].protocol;
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  return Prepare(family, fd ? Result<UniqueFd>(std::move(fd)) : FailSys("socket"));
}

Result<NetlinkSocket> NetlinkSocket::Open(NetlinkFamily family, int netns) {
  int protocol = kFamilies[static_cast<size_t>(family)].protocol;
  return Prepare(family, SocketIn(netns, AF_NETLINK, SOCK_RAW, protocol));
}

Result<NetlinkSocket> NetlinkSocket::Prepare(NetlinkFamily family, Result<UniqueFd> fd) {
  const FamilyRow& row = kFamilies[static_cast<size_t>(family)];
  if (!fd) {
    int error = fd.error().error_number();
    if (error == EPROTONOSUPPORT || error == EAFNOSUPPORT)
      return Fail(Errc::kUnsupported, row.missing);
    return std::unexpected(std::move(fd).error().Wrap("netlink"));
  }
  // All of these only make answers better or requests larger: kernels without them (before 4.20),
  // and users who may not exceed the limit of buffers, do without.
  constexpr int kOn = 1;
  for (int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK, NETLINK_NO_ENOBUFS})
    (void)setsockopt(fd->get(), SOL_NETLINK, option, &kOn, sizeof kOn);
  for (int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE})
    (void)setsockopt(fd->get(), SOL_SOCKET, option, &kBufferBytes, sizeof kBufferBytes);
  timeval timeout{kTimeoutSeconds, 0};
  (void)setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  return NetlinkSocket(*std::move(fd));
}

// What one Call has learnt so far.
struct NetlinkSocket::Answer {
  uint32_t first;  // sequence numbers of the request
  uint32_t last;   // its acknowledgement ends the answer
  std::string_view what;
  NetlinkHandler& handle;
  bool complete = false;
  bool changed = false;          // NLM_F_DUMP_INTR
  std::optional<Error> error{};  // the first
  NetlinkFault fault{};

  Result<> Take(const NetlinkMessage& message);
  void Refused(const NetlinkMessage& message, int error_number, size_t header);
};

void NetlinkSocket::Answer::Refused(const NetlinkMessage& message, int error_number,
                                    size_t header) {
  if (error)
    return;
  std::span<const uint8_t> attributes;
  if ((message.flags & NLM_F_ACK_TLVS) != 0)
    attributes = message.Attributes(header);
  auto text = FindAttribute(attributes, NLMSGERR_ATTR_MSG);
  error = Error::Sys(error_number, "netlink", text ? text->AsText() : "").Wrap(what);
  auto offset = FindAttribute(attributes, NLMSGERR_ATTR_OFFS);
  fault = {message.sequence - first, offset ? offset->As<uint32_t>().value_or(0) : 0};
}

Result<> NetlinkSocket::Answer::Take(const NetlinkMessage& message) {
  if (message.sequence - first > last - first)
    return {};  // left over from a call that gave up
  changed = changed || (message.flags & NLM_F_DUMP_INTR) != 0;
  if (message.type != NLMSG_ERROR && message.type != NLMSG_DONE) {
    if (message.type >= NLMSG_MIN_TYPE && handle)
      handle(message);
    return {};
  }
  complete = complete || message.sequence == last;
  auto error_number = message.Header<int32_t>();
  if (!error_number && message.type == NLMSG_ERROR)
    return Fail(Errc::kCorrupt, Cat(what, ": an answer by netlink is cut short"));
  if (!error_number || *error_number == 0)
    return {};
  size_t header = sizeof *error_number;
  if (message.type == NLMSG_ERROR) {
    // The header of the request follows, with its content where the kernel cannot leave it out.
    auto refused = message.Header<nlmsgerr>();
    header = sizeof(nlmsgerr);
    if (refused && (message.flags & NLM_F_CAPPED) == 0 && refused->msg.nlmsg_len > NLMSG_HDRLEN)
      header += Aligned(refused->msg.nlmsg_len) - NLMSG_HDRLEN;
  }
  Refused(message, *error_number < 0 && *error_number > -4096 ? -*error_number : EPROTO, header);
  return {};
}

Result<size_t> NetlinkSocket::Receive(int flags) {
  buffer_.resize(kReceiveBytes);
  for (;;) {
    sockaddr_nl from{};
    iovec part{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t size = recvmsg(fd_.get(), &message, flags);
    if (size < 0 && errno == EINTR)
      continue;
    if (size < 0 && errno == EAGAIN)
      return 0;
    if (size < 0)
      return FailSys("recvmsg", "netlink");
    if (from.nl_family == AF_NETLINK && from.nl_pid != 0)
      continue;  // another process, not the kernel
    if ((message.msg_flags & MSG_TRUNC) != 0)
      return Fail(Errc::kCorrupt, "an answer by netlink is longer than any should be");
    if (size == 0)
      return Fail(Errc::kUnavailable, "netlink hung up");
    return static_cast<size_t>(size);
  }
}

// After an error nothing is waited for: the kernel has answered all it will before sendmsg
// returned.
Result<> NetlinkSocket::Read(Answer& answer) {
  while (!answer.complete || answer.error) {
    size_t size = TRY(Receive(answer.error ? MSG_DONTWAIT : 0));
    if (size == 0) {
      if (answer.error)
        return {};
      return Fail(Errc::kTimeout, Cat("no answer by netlink for ", kTimeoutSeconds, " s"));
    }
    std::span<const uint8_t> rest(buffer_.data(), size);
    while (auto message = TakeMessage(rest))
      TRY(answer.Take(*message));
    if (!rest.empty())
      return Fail(Errc::kCorrupt, "an answer by netlink is malformed");
  }
  return {};
}

Result<> NetlinkSocket::Call(NetlinkWriter& request, std::string_view what, NetlinkHandler handle,
                             NetlinkFault* fault) {
  if (request.too_long())
    return Fail(Errc::kInvalid,
                Cat(what, ": does not fit into a netlink attribute of 65535 bytes"));
  std::optional<uint32_t> last = request.Number(next_sequence_);
  if (!last)
    return Fail(Errc::kInternal, Cat(what, ": a netlink request without NLM_F_ACK"));
  Answer answer{.first = next_sequence_, .last = *last, .what = what, .handle = handle};
  next_sequence_ += static_cast<uint32_t>(request.count());
  std::span<const uint8_t> bytes = request.bytes();
  ssize_t sent;
  do {
    sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0)
    return std::unexpected(Error::Sys(errno, "sendmsg", "netlink").Wrap(what));
  TRY_CTX(what, Read(answer));
  if (answer.error) {
    if (fault != nullptr)
      *fault = answer.fault;
    return std::unexpected(*std::move(answer.error));
  }
  if (answer.changed)
    return Fail(Errc::kBusy, Cat(what, ": changed while it was read"));
  return {};
}

}  // namespace wherry::sys
