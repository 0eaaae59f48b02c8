// A non-blocking channel of bytes, plain or TLS, over a stream socket: the one interface that the
// HTTP server and the MQTT client use. It does not know the event loop; whoever owns it watches
// fd() for Events(). All on one thread.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::tls {

// The largest TLS record (RFC 8446 section 5.1). Receive takes a buffer of this size so that no
// decrypted bytes stay behind, of which epoll would know nothing.
inline constexpr size_t kRecordBytes = 16 << 10;

enum class Io : uint8_t {
  kDone,   // `count` bytes, at least one
  kAgain,  // when one of Events() happens
  kEnd,    // Receive only: the other side sends no more
  kError,  // broken; error() says why
};

struct IoResult {
  Io io;
  size_t count = 0;
};

// Who the other side is, by its verified certificate. Text is UTF-8 without control characters;
// what is not is left out.
struct PeerName {
  std::string common_name;
  std::vector<std::string> dns_names;  // subjectAltName, dNSName
};

class Channel {
 public:
  virtual ~Channel() = default;  // closes the descriptor, with TLS after a close_notify if it fits
  virtual int fd() const = 0;
  virtual IoResult Receive(std::span<char, kRecordBytes> out) = 0;
  // After kAgain the next call must begin with the same bytes; there may be more of them.
  virtual IoResult Send(std::string_view bytes) = 0;
  // The epoll events to wait for when the caller wants to receive or has something to send.
  // A handshake that is going on asks for what it needs itself.
  virtual uint32_t Events(bool receive, bool send) const = 0;
  // True when these events may let Send go on.
  virtual bool MaySend(uint32_t events) const = 0;
  // Tells the other side that nothing more comes; Receive goes on.
  virtual void EndSending() = 0;
  // Ready for bytes of the application. A TLS handshake proceeds by calls of Receive or Send.
  virtual bool connected() const = 0;
  // REQUIRES: connected. nullptr: the other side has no certificate.
  virtual const PeerName* peer_name() const = 0;
  // REQUIRES: the last call returned kError. Names the other side, the cause and a remedy.
  virtual Error error() const = 0;
};

// `name` is what errors call the other side. REQUIRES: `fd` is a connected, non-blocking socket.
std::unique_ptr<Channel> PlainChannel(UniqueFd fd, std::string name);

}  // namespace wherry::tls
