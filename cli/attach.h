// The streams of a container, or of a further process in it, joined with ours: standard input
// there, output here, terminal in raw mode, window size passed on.
#pragma once

#include <memory>
#include <string>

#include "cli/client.h"
#include "cli/stream.h"
#include "core/base/result.h"

namespace wherry::cli {

struct AttachRequest {
  bool input = false;       // forward our standard input
  bool terminal = false;    // the container has a terminal
  bool signals = true;      // forward SIGINT, SIGTERM, ... to the container
  bool logs = false;        // earlier output first
  std::string detach_keys;  // empty: ctrl-p,ctrl-q
};

// Watches typed bytes for the sequence that detaches. Bytes of a started sequence are held back
// until it is broken.
class DetachKeys {
 public:
  // "ctrl-p,ctrl-q", "a,b"; empty: the default.
  static Result<DetachKeys> Parse(std::string_view text);
  // Takes what must not be sent (yet) out of `bytes`; true when the sequence is complete.
  bool Filter(std::string& bytes);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

class Attachment {
 public:
  // Connects; output is not lost from here on. The container may be started afterwards.
  static Result<Attachment> Open(Client& client, const std::string& container,
                                 const AttachRequest& options);
  // Starts a further process and connects. `exec`: its ID.
  static Result<Attachment> StartExec(Client& client, const std::string& exec,
                                      const AttachRequest& options);
  // Copies until the container's streams end or the user detaches.
  enum class End : uint8_t { kEnded, kDetached };
  Result<End> Run();

 private:
  Attachment(Client& client, std::string path, AttachRequest options, Client::Stream stream)
      : client_(&client),
        path_(std::move(path)),
        options_(std::move(options)),
        stream_(std::move(stream)) {}
  void SendSize();
  Result<bool> Output();
  bool Input();
  void ForwardSignal(int signal_number);

  Client* client_;
  std::string path_;  // "/containers/<id>" or "/exec/<id>"
  AttachRequest options_;
  Client::Stream stream_;
  std::unique_ptr<Demultiplexer> demultiplexer_;  // absent for a terminal's raw bytes
  DetachKeys detach_;
  bool input_open_ = true;
};

}  // namespace wherry::cli
