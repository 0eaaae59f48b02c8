// A channel on the event loop, with a buffer for what is to be sent.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "net/tls/channel.h"

namespace wherry::tls {

// Whose stream it is. Called from the loop only, never from inside a call into the stream; may
// destroy the stream.
class StreamUser {
 public:
  virtual ~StreamUser() = default;
  virtual void OnConnected() = 0;  // the handshake is over; peer_name() is known
  virtual void OnData(std::string_view bytes) = 0;
  virtual void OnDrained() = 0;                // all that was pending has been sent
  virtual void OnEnd(const Error& error) = 0;  // the last call; why the connection is no more
};

class Stream {
 public:
  // `user` outlives the stream. Nothing happens before Start.
  Stream(Loop* loop, std::unique_ptr<Channel> channel, std::string name, StreamUser* user);
  ~Stream();  // what is pending is lost; with TLS the other side is told that it is the end
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Result<> Start();
  // Sends, or keeps what cannot be sent yet: the caller bounds it by pending().
  void Write(std::string_view bytes);
  size_t pending() const { return output_.size() - taken_; }
  // While paused nothing is received.
  void PauseReading(bool paused);
  // REQUIRES: OnConnected was called.
  const PeerName* peer_name() const { return channel_->peer_name(); }

 private:
  using Alive = std::weak_ptr<char>;

  void OnEvents(uint32_t events);
  // False when the stream has ended or is destroyed.
  bool Receive(const Alive& alive);
  bool Announce(const Alive& alive);
  bool Flush(const Alive& alive);
  bool SendSome();
  void End(const Error& error);
  void UpdateInterest();
  void Later(uint32_t events);

  Loop* loop_;
  std::unique_ptr<Channel> channel_;
  std::string name_;
  StreamUser* user_;
  std::shared_ptr<char> alive_;
  bool watched_ = false;
  bool announced_ = false;
  bool paused_ = false;
  bool ended_ = false;
  bool broken_ = false;  // sending failed
  uint32_t interest_ = 0;
  std::string output_;
  size_t taken_ = 0;
};

}  // namespace wherry::tls
