// The user's registry credentials: wherry's own file first, then Docker's.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"
#include "net/http/header.h"
#include "net/registry/credentials.h"

namespace wherry::cli {

// $WHERRY_CONFIG/config.json, else $HOME/.wherry/config.json: what login writes.
registry::CredentialsFile OwnCredentials();

// None is no error.
Result<registry::Credentials> UserCredentials(const std::string& host);

// X-Registry-Auth for requests that concern `host`; empty when there are no credentials.
Result<std::vector<http::Header>> AuthHeaders(const std::string& host);

}  // namespace wherry::cli
