#include "core/shim/clients.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace wherry::shim {

namespace {

// More to come, as opposed to gone.
bool WouldBlock() {
  return errno == EAGAIN || errno == EINTR;
}

uint32_t FromBigEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

uint16_t Word(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

Frame MakeFrame(Kind kind, size_t length) {
  Frame frame{};
  frame.kind = kind;
  for (int i = 0; i < 4; ++i)
    frame.length_be[i] = static_cast<uint8_t>(length >> (24 - 8 * i));
  return frame;
}

}  // namespace

void Client::Start(int fd) {
  fd_ = fd;
  wants_ = 0;
  told_exit_ = false;
  said_hello_ = false;
  header_fill_ = 0;
  remaining_ = 0;
  pending_ = 0;
  under_way_ = 0;
  sent_ = 0;
}

void Client::Close() {
  close(fd_);
  fd_ = -1;
  wants_ = 0;
  pending_ = 0;
}

// Bytes of input that the client is in the middle of sending.
uint32_t Client::InputLength() const {
  return header_fill_ == sizeof header_ && header_.kind == kStdin ? remaining_ : 0;
}

short Client::Events(const Container& container) const {
  bool readable =
      (pending_ & kControlBit) == 0 && (InputLength() == 0 || container.InputRoom() > 0);
  return static_cast<short>((readable ? POLLIN : 0) | (pending_ != 0 ? POLLOUT : 0));
}

bool Client::Receive(Container& container) {
  // One message at a time: other clients and the container get their turn in between.
  if (header_fill_ < sizeof header_)
    return ReceiveHeader(container);
  return ReceivePayload(container);
}

bool Client::ReceiveHeader(Container& container) {
  char* at = reinterpret_cast<char*>(&header_) + header_fill_;
  ssize_t count = recv(fd_, at, sizeof header_ - header_fill_, MSG_DONTWAIT);
  if (count <= 0)
    return count < 0 && WouldBlock();
  header_fill_ = static_cast<uint8_t>(header_fill_ + count);
  if (header_fill_ < sizeof header_)
    return true;
  remaining_ = FromBigEndian(header_.length_be);
  kept_fill_ = 0;
  if (remaining_ > kMaxPayload)
    return false;
  return remaining_ > 0 ? ReceivePayload(container) : Carry(container);
}

bool Client::ReceivePayload(Container& container) {
  return header_.kind == kStdin ? ReceiveInput(container) : ReceiveSmall(container);
}

bool Client::ReceiveInput(Container& container) {
  size_t room = container.InputRoom();
  size_t wanted = remaining_ < room ? remaining_ : room;
  if (wanted == 0)
    return true;
  ssize_t count = recv(fd_, container.InputSpace(), wanted, MSG_DONTWAIT);
  if (count <= 0)
    return count < 0 && WouldBlock();
  container.InputArrived(static_cast<size_t>(count));
  remaining_ -= static_cast<uint32_t>(count);
  return remaining_ > 0 || Carry(container);
}

bool Client::ReceiveSmall(Container& container) {
  uint8_t buffer[256];
  size_t wanted = remaining_ < sizeof buffer ? remaining_ : sizeof buffer;
  ssize_t count = recv(fd_, buffer, wanted, MSG_DONTWAIT);
  if (count <= 0)
    return count < 0 && WouldBlock();
  remaining_ -= static_cast<uint32_t>(count);
  for (ssize_t i = 0; i < count && kept_fill_ < sizeof kept_; ++i)
    kept_[kept_fill_++] = buffer[i];
  return remaining_ > 0 || Carry(container);
}

// The message is complete. Unknown kinds come from newer clients and are passed over.
bool Client::Carry(Container& container) {
  header_fill_ = 0;
  switch (header_.kind) {
    case kAttach:
      wants_ = kept_fill_ > 0 ? kept_[0] : 0;
      Answer(kAttached, nullptr, 0);
      break;
    case kResize:
      if (kept_fill_ >= 4)
        container.Resize(Word(kept_), Word(kept_ + 2));
      break;
    case kCloseStdin:
      container.CloseInput();
      break;
    case kReopenLog:
      container.ReopenLog();
      break;
    case kHello: {
      said_hello_ = true;
      StateText state;
      container.DescribeState(state);
      Answer(kState, state.data(), state.size());
      break;
    }
    case kKillAll:
      container.Kill();
      break;
    default:
      break;
  }
  return true;
}

void Client::Answer(Kind kind, const char* payload, size_t size) {
  control_kind_ = kind;
  control_.Clear();
  control_.Add(payload, size);
  pending_ |= kControlBit;
}

void Client::Offer(Kind stream) {
  uint8_t wanted = stream == kStdout ? kWantStdout : kWantStderr;
  if (fd_ >= 0 && (wants_ & wanted) != 0)
    pending_ |= Bit(stream);
}

void Client::QueueExit(const char* record, size_t size) {
  if ((pending_ & kControlBit) != 0 || told_exit_)
    return;
  Answer(kExit, record, size);
  told_exit_ = true;
}

bool Client::Send(const Chunk& out, const Chunk& err) {
  while (pending_ != 0) {
    // A frame under way is finished first, then answers go before output.
    uint8_t bit = under_way_ != 0 ? under_way_ : static_cast<uint8_t>(pending_ & -pending_);
    bool good = true;
    if (bit == kControlBit) {
      good = SendFrame(control_kind_, {control_.data(), control_.size()}, bit);
    } else {
      good = bit == Bit(kStdout) ? SendFrame(kStdout, out, bit) : SendFrame(kStderr, err, bit);
    }
    if (!good)
      return WouldBlock();
  }
  return true;
}

// Sends the rest of one frame; false with errno when it is not finished.
bool Client::SendFrame(Kind kind, const Chunk& payload, uint8_t bit) {
  Frame frame = MakeFrame(kind, payload.size);
  size_t total = sizeof frame + payload.size;
  under_way_ = bit;
  while (sent_ < total) {
    iovec parts[2];
    size_t header_left = sent_ < sizeof frame ? sizeof frame - sent_ : 0;
    size_t payload_sent = sent_ < sizeof frame ? 0 : sent_ - sizeof frame;
    parts[0] = {reinterpret_cast<char*>(&frame) + (sizeof frame - header_left), header_left};
    parts[1] = {const_cast<char*>(payload.data) + payload_sent, payload.size - payload_sent};
    msghdr message{};
    message.msg_iov = header_left > 0 ? parts : parts + 1;
    message.msg_iovlen = header_left > 0 ? 2 : 1;
    ssize_t count = sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR)
        continue;
      return false;
    }
    sent_ += static_cast<uint32_t>(count);
  }
  sent_ = 0;
  under_way_ = 0;
  pending_ = static_cast<uint8_t>(pending_ & ~bit);
  return true;
}

}  // namespace wherry::shim
