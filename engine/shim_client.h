// A connection of the daemon to the shim of one container (core/shim/protocol.h): frames both ways
// without blocking. Loop thread only. A container has one connection that watches for its end, and
// one per attached client.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/shim/protocol.h"

namespace wherry::engine {

class ShimConnection : public std::enable_shared_from_this<ShimConnection> {
 public:
  // `frame` is the whole frame with its header, valid during the call.
  using FrameCallback = std::move_only_function<void(uint8_t kind, std::string_view frame)>;
  using Callback = std::move_only_function<void()>;

  // Connects to `run_directory`/shim.sock, however long that path is. kNotFound or kUnavailable
  // when no shim listens.
  static Result<std::shared_ptr<ShimConnection>> Connect(Loop* loop,
                                                         const std::string& run_directory);
  ~ShimConnection();

  // Set both before the loop runs again. Either may close and drop the connection.
  void OnFrame(FrameCallback callback) { on_frame_ = std::move(callback); }
  void OnClose(Callback callback) {
    on_close_ = std::move(callback);
  }  // the shim is gone; not called after Close
  void OnDrain(Callback callback) { on_drain_ = std::move(callback); }  // pending() fell to zero

  // Buffers and sends; payloads over kMaxPayload go out as several frames.
  void Send(shim::Kind kind, std::string_view payload = {});
  size_t pending() const { return output_.size(); }
  void PauseReading(bool paused);
  // Ends our sending side after what is pending; the shim's frames still arrive.
  void FinishSending();
  void Close();
  bool closed() const { return !socket_; }

  static constexpr size_t kHeaderSize = sizeof(shim::Frame);

 private:
  ShimConnection(Loop* loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}
  void HandleEvents(uint32_t events);
  void Read();
  // Hands over complete frames; false when the connection was closed meanwhile or the peer broke
  // the protocol.
  bool Dispatch();
  void Flush();
  void UpdateEvents();
  Result<> Watch(uint32_t events);
  void PeerGone();

  Loop* loop_;
  UniqueFd socket_;
  FrameCallback on_frame_;
  Callback on_close_;
  Callback on_drain_;
  std::string input_;
  std::string output_;
  bool paused_ = false;
  bool finish_ = false;  // shutdown(SHUT_WR) once output_ is empty
  uint32_t events_ = 0;
};

// The payload of a frame given to OnFrame.
inline std::string_view FramePayload(std::string_view frame) {
  return frame.substr(ShimConnection::kHeaderSize);
}
// Docker's stream header, the same as the shim's.
std::string FrameHeader(uint8_t kind, size_t payload_size);
// The payload of a kResize.
std::string ResizePayload(uint16_t rows, uint16_t columns);

}  // namespace wherry::engine
