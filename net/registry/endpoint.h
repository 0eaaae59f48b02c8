// One place that serves a registry's content: the registry itself or a mirror of it. Adds
// authentication and the choice of protocol to Transport, and turns refusals into errors that say
// what to do. Blocking; one thread at a time.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/http/curl_transfer.h"
#include "net/registry/auth.h"
#include "net/registry/credentials.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"
#include "net/registry/transport.h"

namespace wherry::registry {

// 127.0.0.0/8, ::1 and localhost, with or without port: plain HTTP is allowed there, as in Docker.
bool IsLoopback(std::string_view host);

// The section of a host ("docker.io", "host:5000"), null without one.
const HostOptions* FindHost(const Options& options, const std::string& host);
// Listed as insecure, or on this machine without an authority of its own.
bool MayBeInsecure(const Options& options, const std::string& host);
// Where a registry lives: "docker.io" -> "registry-1.docker.io".
std::string AddressOf(std::string_view registry);

struct EndpointPlan {
  std::string home;  // whose section of the configuration counts
  std::vector<std::string>
      base_urls;  // tried in order until one speaks: https first, http only where allowed
  bool mirror = false;
};
// The mirrors of a registry, then itself.
std::vector<EndpointPlan> PlanEndpoints(const Options& options, const std::string& registry);

// One request to a registry.
struct Ask {
  std::string method = "GET";
  std::string path;      // "/v2/library/nginx/manifests/1"
  std::string url = {};  // instead: where the registry said an upload goes on
  std::string_view accept = {};
  std::string scope = {};      // of the token: "repository:library/nginx:pull"
  std::string_view what = {};  // for errors: "manifest", "blob"
  uint64_t range_start = 0;
  uint64_t range_end = 0;  // 0: to the end
  std::vector<http::Header> headers = {};
  std::string_view body = {};  // borrowed until the answer has been read
  bool pushes = false;         // for errors
};

class Endpoint {
 public:
  // `options` and `session` are borrowed. `reference` is for errors.
  Endpoint(const Options* options, http::CurlSession* session, EndpointPlan plan,
           Credentials credentials, const Reference* reference);

  // Sends the request, with credentials when the endpoint asks for them. Success is 200 or 206, for
  // a push all up to 206. kUnavailable and kTimeout are worth another try, after retry_after();
  // kUnauthorized, kDenied, kNotFound, kInvalid, kUnsupported are not.
  Result<std::unique_ptr<http::CurlTransfer>> Send(const Ask& ask);

  // What a Location that came from here means. kDenied for one that leads from https to plain http.
  Result<std::string> Resolve(const std::string& location) const;

  bool mirror() const { return plan_.mirror; }
  bool reached() const { return reached_; }  // it has answered something before
  std::chrono::seconds retry_after() const { return retry_after_; }

 private:
  Result<Transport::Answer> SendAuthenticated(const std::string& base_url, const Ask& ask);

  EndpointPlan plan_;
  Transport transport_;
  Authenticator authenticator_;
  const Reference* reference_;
  bool reached_ = false;
  size_t protocol_ = 0;  // index into plan_.base_urls, once reached
  std::chrono::seconds retry_after_{0};
};

}  // namespace wherry::registry
