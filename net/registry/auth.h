// Authentication against a registry: the challenge of a 401 and the answer to it. RFC 7235, RFC 7617 (Basic), and the
// distribution project's token protocol (Bearer; spec/auth/token.md, oauth.md). One thread at a time.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/http/curl_transfer.h"
#include "net/registry/credentials.h"

namespace wherry::registry {

struct Challenge {
  std::string scheme;  // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // lower-case names: realm, service, scope
};
// All challenges of a WWW-Authenticate header; malformed ones are left out.
std::vector<Challenge> ParseChallenges(std::string_view header);

// Credentials and tokens for one base URL.
class Authenticator {
 public:
  Authenticator(http::CurlSession* session, http::TlsOptions tls, Credentials credentials)
      : session_(session), tls_(std::move(tls)), credentials_(std::move(credentials)) {}

  // The Authorization header to try first for `scope`; empty: none known yet.
  std::string Header(std::string_view scope);
  // Answers a 401. `base_url` says whether a token may be asked for in plain HTTP. After success Header() has something new;
  // kUnauthorized when there is nothing (more) to try.
  Result<> Answer(std::string_view www_authenticate, std::string_view scope, std::string_view base_url);

  bool has_credentials() const { return !credentials_.empty(); }

 private:
  struct Token {
    std::string value;
    std::chrono::nanoseconds expires;  // uptime
  };
  Result<> FetchToken(const Challenge& challenge, std::string_view scope, std::string_view base_url);

  http::CurlSession* session_;
  http::TlsOptions tls_;
  Credentials credentials_;
  bool basic_ = false;
  std::map<std::string, Token, std::less<>> tokens_;  // by scope
};

}  // namespace wherry::registry
