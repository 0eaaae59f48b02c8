// Talking to the kernel by netlink (rtnetlink, nfnetlink): messages are built with checked sizes,
// answers are read with checked bounds, and errors carry the kernel's own words. One thread at a
// time per object.
#pragma once

#include <linux/netlink.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/netns.h"

namespace wherry::sys {

// The bytes of a plain value, borrowed.
template <class T>
  requires std::is_trivially_copyable_v<T>
std::span<const uint8_t> BytesOf(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

// Host to network order and back.
constexpr uint16_t Swap16(uint16_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}
constexpr uint32_t Swap32(uint32_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

// One or more requests in one buffer. What does not fit a field of the protocol (an attribute of
// more than 65535 bytes, also by what is nested in it) is never written short: the whole request is
// marked too long, and NetlinkSocket::Call refuses it.
class NetlinkWriter {
 public:
  // An open nest of attributes; its length is set by the destructor. Close in reverse order.
  class [[nodiscard]] Nest {
   public:
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    ~Nest() { writer_.CloseNest(start_); }

   private:
    friend class NetlinkWriter;
    Nest(NetlinkWriter& writer, size_t start) : writer_(writer), start_(start) {}
    NetlinkWriter& writer_;
    size_t start_;
  };

  // Begins the next message: NLM_F_REQUEST is added to `flags`, `header` is what follows nlmsghdr.
  void Start(uint16_t type, uint16_t flags, std::span<const uint8_t> header);
  // Asks for an acknowledgement of the message begun last. Call() needs it on one message: the last
  // that the kernel answers.
  void AskAck();

  // Attributes of the message begun last.
  void Bytes(uint16_t type, std::span<const uint8_t> value);
  void Text(uint16_t type, std::string_view value);  // with a terminating NUL
  template <class T>
  void Value(uint16_t type, T value) {
    Bytes(type, BytesOf(value));
  }
  void Be16(uint16_t type, uint16_t value) { Value(type, Swap16(value)); }
  void Be32(uint16_t type, uint32_t value) { Value(type, Swap32(value)); }
  // NLA_F_NESTED is added to `type`. Further headers may follow inside (Raw).
  Nest Open(uint16_t type);
  void Raw(std::span<const uint8_t> bytes);

  size_t count() const { return starts_.size(); }
  bool too_long() const { return too_long_; }
  // Message `index`, with its nlmsghdr; empty when there is none.
  std::span<const uint8_t> message(size_t index) const;
  std::span<const uint8_t> bytes() const { return buffer_; }

 private:
  friend class NetlinkSocket;
  void CloseNest(size_t start);
  void Pad();
  // Sets the length of the message begun last.
  void Finish();
  // Numbers the messages from `first`; the number of the last with NLM_F_ACK, or nullopt.
  std::optional<uint32_t> Number(uint32_t first);

  std::vector<uint8_t> buffer_;
  std::vector<size_t> starts_;
  bool too_long_ = false;
};

// One message of an answer; borrows the buffer it was read into.
struct NetlinkMessage {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  std::span<const uint8_t> body;  // after nlmsghdr

  // The fixed header at the start of the body; nullopt when the body is shorter.
  template <class T>
  std::optional<T> Header() const {
    if (body.size() < sizeof(T))
      return std::nullopt;
    T header;
    memcpy(&header, body.data(), sizeof header);
    return header;
  }
  // What follows a fixed header of `size` bytes; empty when there is nothing.
  std::span<const uint8_t> Attributes(size_t size) const;
};

struct NetlinkAttribute {
  uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  std::span<const uint8_t> value;

  // nullopt when the value has another size.
  template <class T>
  std::optional<T> As() const {
    if (value.size() != sizeof(T))
      return std::nullopt;
    T result;
    memcpy(&result, value.data(), sizeof result);
    return result;
  }
  // The text up to the first NUL or the end.
  std::string_view AsText() const;
};

// Cuts the next message or attribute off the front of `rest`. nullopt at the end and where a length
// does not fit into what is left: `rest` is not empty then.
std::optional<NetlinkMessage> TakeMessage(std::span<const uint8_t>& rest);
std::optional<NetlinkAttribute> TakeAttribute(std::span<const uint8_t>& rest);
// The first attribute of that type.
std::optional<NetlinkAttribute> FindAttribute(std::span<const uint8_t> attributes, uint16_t type);

// Where the kernel saw the error that Call returned.
struct NetlinkFault {
  size_t message = 0;   // index into the request
  uint32_t offset = 0;  // of the attribute at fault, from the start of that message; 0: not told
};

enum class NetlinkFamily : uint8_t { kRoute, kNetfilter };

using NetlinkHandler = std::move_only_function<void(const NetlinkMessage&)>;

class NetlinkSocket {
 public:
  // A socket of the namespace that the caller is in, which it keeps. kUnsupported naming the option
  // when the kernel lacks the family.
  static Result<NetlinkSocket> Open(NetlinkFamily family);
  // Of `netns` (descriptor, borrowed), with a thread that goes there.
  static Result<NetlinkSocket> Open(NetlinkFamily family, int netns);
  // Any datagram socket that answers as the kernel does.
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  // Sends all of `request` at once, gives `handle` each message of the answer, and returns when
  // the message with NLM_F_ACK has been acknowledged or the dump is complete. An error is the first
  // one the kernel reports: "what: netlink(text of the kernel): errno text", with its errno; also
  //   kInvalid   the request is too long for the protocol; nothing was sent
  //   kBusy      what was dumped changed meanwhile (NLM_F_DUMP_INTR): ask again
  //   kCorrupt   the answer is malformed
  //   kTimeout   no answer for five seconds
  Result<> Call(NetlinkWriter& request, std::string_view what, NetlinkHandler handle = nullptr,
                NetlinkFault* fault = nullptr);

 private:
  struct Answer;
  static Result<NetlinkSocket> Prepare(NetlinkFamily family, Result<UniqueFd> fd);
  Result<> Read(Answer& answer);
  Result<size_t> Receive(int flags);

  UniqueFd fd_;
  uint32_t next_sequence_ = 1;
  std::vector<uint8_t> buffer_;
};

}  // namespace wherry::sys
