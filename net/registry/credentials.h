// Credentials of registries: Docker's config.json (auths, credHelpers, credsStore) and the
// X-Registry-Auth header. Secrets are in files of mode 0600 and in memory only, never in arguments,
// errors or logs. Blocking; any thread.
#pragma once

#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::registry {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token = {};  // an OAuth2 refresh token in place of a password
  std::string registry_token = {};  // a bearer token to send as it is

  bool empty() const {
    return username.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
};

// {"username","password","auth","identitytoken","registrytoken"} as in X-Registry-Auth and POST
// /auth; what is malformed is as if absent.
Credentials CredentialsFromJson(JsonValue object);
// The header's value: base64 (either alphabet) of that object; empty or malformed: none.
Credentials CredentialsFromHeader(std::string_view header);
std::string CredentialsToHeader(const Credentials& credentials);

// One config.json. Its directory is made with mode 0700; the file is replaced atomically with mode
// 0600, and members that wherry does not know are kept.
class CredentialsFile {
 public:
  explicit CredentialsFile(std::string path) : path_(std::move(path)) {}

  // For a normalised host ("docker.io", "host:5000"): from a credential helper where the file names
  // one, else from auths. None is no error; a broken file or a failing helper is. Put and Remove
  // too leave the secret to the helper.
  Result<Credentials> Get(std::string_view host) const;
  Result<> Put(std::string_view host, const Credentials& credentials) const;
  // False when there was nothing to remove.
  Result<bool> Remove(std::string_view host) const;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace wherry::registry
