// Authentication against a registry: the challenge of a 401 and the answer to it. RFC 9110 section
// 11, RFC 7617 (Basic), and the distribution project's token protocol (Bearer; spec/auth/token.md,
// oauth.md). Blocking; one thread at a time.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/registry/credentials.h"
#include "net/registry/transport.h"

namespace wherry::registry {

struct Challenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // lower-case names: realm, service, scope
};
// All challenges of WWW-Authenticate (several headers joined by commas); malformed ones are left
// out.
std::vector<Challenge> ParseChallenges(std::string_view header);

// Credentials and tokens for one registry.
class Authenticator {
 public:
  Authenticator(Transport* transport, Credentials credentials)
      : transport_(transport), credentials_(std::move(credentials)) {}

  // The Authorization to try first for `scope` ("repository:NAME:pull"); empty: none known yet.
  std::string Header(std::string_view scope);
  // Answers a 401 that came for `sent` (the Authorization of that request). `base_url` says whether
  // credentials may go over plain HTTP. After success Header() has something new; kUnauthorized
  // when there is nothing (more) to try. Other errors are those of the token server.
  Result<> Answer(std::string_view www_authenticate, std::string_view scope, std::string_view sent,
                  std::string_view base_url);

  bool has_credentials() const { return !credentials_.empty(); }

 private:
  struct Token {
    std::string value;
    std::chrono::nanoseconds expires;  // uptime
  };
  Result<> FetchToken(const Challenge& challenge, std::string_view scope,
                      std::string_view base_url);

  Transport* transport_;
  Credentials credentials_;
  bool basic_ = false;
  std::map<std::string, Token, std::less<>> tokens_;  // by scope
};

}  // namespace wherry::registry
