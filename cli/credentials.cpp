#include "cli/credentials.h"

#include <cstdlib>

#include "core/base/text.h"

namespace wherry::cli {

namespace {

// $VARIABLE/config.json, else $HOME/DIRECTORY/config.json.
std::string ConfigPath(const char* variable, std::string_view directory) {
  if (const char* path = getenv(variable); path != nullptr && path[0] != '\0')
    return Cat(path, "/config.json");
  const char* home = getenv("HOME");
  return Cat(home != nullptr && home[0] != '\0' ? home : "/root", "/", directory, "/config.json");
}

}  // namespace

registry::CredentialsFile OwnCredentials() {
  return registry::CredentialsFile(ConfigPath("WHERRY_CONFIG", ".wherry"));
}

Result<registry::Credentials> UserCredentials(const std::string& host) {
  registry::CredentialsFile files[] = {
      OwnCredentials(), registry::CredentialsFile(ConfigPath("DOCKER_CONFIG", ".docker"))};
  for (const registry::CredentialsFile& file : files) {
    registry::Credentials found = TRY(file.Get(host));
    if (!found.empty())
      return found;
  }
  return registry::Credentials();
}

Result<std::vector<http::Header>> AuthHeaders(const std::string& host) {
  registry::Credentials found = TRY(UserCredentials(host));
  if (found.empty())
    return std::vector<http::Header>();
  return std::vector<http::Header>{{"X-Registry-Auth", registry::CredentialsToHeader(found)}};
}

}  // namespace wherry::cli
