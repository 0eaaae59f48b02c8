// From a request to its handler: version prefix, route tables, and the answers for what does not
// exist. Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/api/api.h"
#include "net/http/server.h"

namespace wherry::engine::api {

class Router {
 public:
  explicit Router(const Services& services) : services_(services) {}
  void Handle(http::ExchangePtr exchange) const;
  // Whether the route of a request takes its body in pieces.
  static bool StreamsBody(const http::Request& request);

 private:
  Services services_;
};

// Whether the role reader may call a route.
bool ReaderMay(const Route& route);

// The headers Docker's clients look for on every response.
std::vector<http::Header> CommonHeaders();

// "/v1.41/x" -> {141, "/x"}; without prefix the newest version. kInvalid with Docker's words when
// it is too old.
struct VersionedPath {
  int version;
  std::string_view path;
};
Result<VersionedPath> SplitVersion(std::string_view path);

// The {name} of `pattern` in `path`, empty for a pattern without one; nullopt: no match. Names
// below /images/ and /distribution/ may contain '/'.
std::optional<std::string_view> MatchPattern(std::string_view pattern, std::string_view path);

}  // namespace wherry::engine::api
