// The clients of the shim's socket: frames in, frames out (protocol.h). Part of wherry-shim: no
// heap, one thread, non-blocking.
//
// Nothing is queued. A piece of output stays in its stream's buffer until every client attached to
// that stream has taken it, and no more is read from the container until then: an attached client
// that does not read holds the container back, as with Docker, and nothing of the output is lost. A
// client that goes away, or the end of the container, sets it free.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/shim/container.h"
#include "core/shim/fixed_text.h"
#include "core/shim/protocol.h"

namespace wherry::shim {

class Client {
 public:
  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  void Start(int fd);
  // Gives the descriptor back to the system; the slot is free again.
  void Close();

  // poll events to wait for now; 0: nothing, the descriptor is to be left out.
  short Events(const Container& container) const;
  // Reads what is there, carries it out. False when the client is gone or speaks nonsense.
  bool Receive(Container& container);
  // Sends what is due as far as the socket takes it. False when the client is gone.
  bool Send(const Chunk& out, const Chunk& err);

  // Called when a stream has a new chunk; the client takes part if it is attached to that stream.
  void Offer(Kind stream);
  bool Owes(Kind stream) const { return (pending_ & Bit(stream)) != 0; }
  bool Idle() const { return pending_ == 0; }
  bool brings_input() const { return (wants_ & kWantStdin) != 0; }

  // Queues the final message.
  void QueueExit(const char* record, size_t size);
  bool told_exit() const { return told_exit_; }
  bool said_hello() const { return said_hello_; }

 private:
  static constexpr uint8_t kControlBit = 1;
  static uint8_t Bit(Kind stream) { return stream == kStdout ? 2 : 4; }

  bool ReceiveHeader(Container& container);
  bool ReceivePayload(Container& container);
  bool ReceiveInput(Container& container);
  bool ReceiveSmall(Container& container);
  bool Carry(Container& container);
  void Answer(Kind kind, const char* payload, size_t size);
  bool SendFrame(Kind kind, const Chunk& payload, uint8_t bit);
  uint32_t InputLength() const;

  int fd_ = -1;
  uint8_t wants_ = 0;
  bool told_exit_ = false;
  bool said_hello_ = false;

  // Reception: the header, then `remaining_` bytes of payload, of which the first few are kept.
  Frame header_;
  uint8_t header_fill_;
  uint8_t kept_fill_;
  uint8_t kept_[4];
  uint32_t remaining_;

  // Sending: which frames are due, which one is under way and how far it is.
  uint8_t pending_ = 0;
  uint8_t under_way_ = 0;
  uint32_t sent_ = 0;
  Kind control_kind_;
  StateText control_;
};

}  // namespace wherry::shim
