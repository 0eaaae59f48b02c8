// The API over TLS: who may call it. Every client has a certificate; its common name gives a role.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/http/server.h"
#include "net/tls/config.h"

namespace wherry::engine {

struct HttpsConfig {
  std::string listen;       // "ADDRESS:PORT"; empty: no HTTPS
  std::string certificate;  // PEM, of this device
  std::string key;
  std::string client_ca;
  std::vector<std::string> admins;  // common names
  std::vector<std::string> readers;
};

// kNone: may do nothing. kReader: what does not change anything and shows no secrets. kAdmin: all.
enum class Role : uint8_t { kNone, kReader, kAdmin };

// Of a client; one of the Unix socket is an admin.
Role RoleOf(const HttpsConfig& config, const http::Peer& peer);

// kInvalid naming the key that is missing.
Result<> CheckHttps(const HttpsConfig& config);

// Certificates and authorities as the server uses them. REQUIRES: CheckHttps.
Result<std::shared_ptr<const tls::Config>> MakeTlsConfig(const HttpsConfig& config);

}  // namespace wherry::engine
