// Docker's credential helpers: programs docker-credential-NAME with a verb as argument and the
// registry on standard input.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "net/registry/credentials.h"

namespace wherry::registry {

// `name`: lower-case letters, digits, '-', '_', '.'; `server`: the registry as Docker's files name
// it. kInvalid for a bad name, kNotFound when the program is not in PATH, kUnauthorized with its
// words when it fails, kTimeout after 20 seconds. Secrets pass by standard input and output only.

// None stored for `server`: empty credentials.
Result<Credentials> AskCredentialHelper(std::string_view name, std::string_view server);
Result<> StoreInCredentialHelper(std::string_view name, std::string_view server,
                                 const Credentials& credentials);
// Nothing stored is no error.
Result<> EraseFromCredentialHelper(std::string_view name, std::string_view server);

}  // namespace wherry::registry
