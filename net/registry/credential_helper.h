// Docker's credential helpers: programs docker-credential-NAME with a verb as argument and the registry on standard input.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "net/registry/credentials.h"

namespace wherry::registry {

// `name`: lower-case letters, digits, '-', '_', '.'. None stored for `server`: empty credentials. Gives up after 20 seconds.
Result<Credentials> AskCredentialHelper(std::string_view name, std::string_view server);

}  // namespace wherry::registry
