// The CLI's view of the daemon: JSON requests over its socket, with the daemon's own error
// sentences.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "net/http/unix_client.h"

namespace wherry::cli {

// "/containers/json" + {{"all", "1"}} -> "/v1.47/containers/json?all=1". Values are encoded; empty
// ones are left out.
using Query = std::vector<std::pair<std::string_view, std::string>>;
std::string Target(std::string_view path, const Query& query = {});
// One path segment, percent-encoded.
std::string Segment(std::string_view text);

class Client {
 public:
  explicit Client(std::string socket) : socket_(std::move(socket)) {}

  // The answer's JSON ("{}" when it has no body). A status of 400 and above is an Error with the
  // daemon's message and the code that fits; 304 is kNotModified.
  Result<JsonDocument> Get(const std::string& target);
  Result<JsonDocument> Post(const std::string& target, std::string_view body = {},
                            const std::vector<http::Header>& headers = {});
  Result<JsonDocument> Delete(const std::string& target);
  // The answer's text as it came.
  Result<std::string> GetText(const std::string& target);

  // A connection with the head of the answer read; the caller reads the body. Errors as above.
  // `head`, where given, gets the answer's status and headers.
  Result<std::unique_ptr<ByteSource>> Open(std::string_view method, const std::string& target,
                                           std::string_view body = {},
                                           const std::vector<http::Header>& headers = {},
                                           http::Response* head = nullptr);
  // The same with a body that `body` gives, of any length.
  Result<std::unique_ptr<ByteSource>> Upload(const std::string& target, ByteSource& body,
                                             const std::vector<http::Header>& headers,
                                             std::string_view method = "POST");
  // Takes a connection over for attach: raw bytes both ways; `early` came before the caller could
  // read.
  struct Stream {
    UniqueFd fd;
    std::string early;
    bool multiplexed = false;  // Docker's stream frames, else raw bytes of a terminal
  };
  Result<Stream> Hijack(const std::string& target, std::string_view body = {});

  const std::string& socket() const { return socket_; }

 private:
  Result<JsonDocument> Json(std::string_view method, const std::string& target,
                            std::string_view body, const std::vector<http::Header>& headers);
  std::string socket_;
};

}  // namespace wherry::cli
