// One client attached to a container: a taken-over HTTP connection on one side, a connection to the
// shim on the other, with back-pressure both ways and Docker's rules for the end of input and for
// detach keys. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "engine/shim_client.h"
#include "net/http/server.h"

namespace wherry::engine {

// "ctrl-p,ctrl-q" -> "\x10\x11"; single characters and ctrl-a to ctrl-z, ctrl-@ [ \ ] ^ _,
// separated by commas. kInvalid.
Result<std::string> ParseDetachKeys(std::string_view text);

// Finds the key sequence in what a terminal client types.
class DetachFilter {
 public:
  explicit DetachFilter(std::string keys) : keys_(std::move(keys)) {}
  // Appends to `out` what is to be passed on; a beginning of the sequence is held back until it is
  // decided. True: detach.
  bool Feed(std::string_view input, std::string& out);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

struct AttachOptions {
  bool tty = false;  // one raw stream; otherwise frames as docker-api.md 2.2 has them
  bool with_stdin = false;
  bool with_stdout = false;
  bool with_stderr = false;
  bool stdin_once = false;  // the end of the client's input ends the container's
  std::string detach_keys;  // bytes; empty: none
};

class AttachSession : public std::enable_shared_from_this<AttachSession> {
 public:
  AttachSession(std::shared_ptr<http::Stream> stream, AttachOptions options);

  // Takes the stream's callbacks; input waits in the connection until Connect.
  void Begin();
  // Joins the running container's streams.
  Result<> Connect(Loop* loop, const std::string& run_directory);
  // Called when the client detached by its keys.
  void OnDetach(std::move_only_function<void()> callback) { on_detach_ = std::move(callback); }

  // The end of the shim's streams ends the session only after Release: for clients that ask for the
  // exit code right after the end.
  void HoldOpen() { held_ = true; }
  void Release();

  // Sends a message to the client as the daemon's own words, then ends the session.
  void CloseWith(std::string_view message);
  // Ends the session: sends what is pending, closes both sides.
  void Close();
  bool closed() const { return stream_ == nullptr; }
  const AttachOptions& options() const { return options_; }

 private:
  void FromShim(uint8_t kind, std::string_view frame);
  void FromClient(std::string_view bytes);
  void ClientFinished();
  void ClientGone();

  std::shared_ptr<http::Stream> stream_;
  AttachOptions options_;
  DetachFilter detach_;
  std::shared_ptr<ShimConnection> shim_;
  std::move_only_function<void()> on_detach_;
  bool held_ = false;
  bool shim_ended_ = false;
};

}  // namespace wherry::engine
