#include "engine/https.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// In the form clients of Docker's API show to their users.
std::string RefusalAnswer(std::string_view reason) {
  JsonWriter json;
  json.Object().Field("message", reason).End();
  std::string body = json.Take() + "\n";
  return Cat("HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n",
             "Content-Length: ", body.size(), "\r\n\r\n", body);
}

constexpr std::string_view kPlainAnswer =
    "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    "Client sent an HTTP request to an HTTPS server.\n";

}  // namespace

Role RoleOf(const HttpsConfig& config, const http::Peer& peer) {
  if (!peer.remote)
    return Role::kAdmin;
  if (peer.certificate_name.empty())
    return Role::kNone;
  if (Contains(config.admins, peer.certificate_name))
    return Role::kAdmin;
  return Contains(config.readers, peer.certificate_name) ? Role::kReader : Role::kNone;
}

Result<> CheckHttps(const HttpsConfig& config) {
  struct Need {
    std::string_view key;
    bool missing;
  };
  const Need needs[] = {{"certificate", config.certificate.empty()},
                        {"key", config.key.empty()},
                        {"client-ca", config.client_ca.empty()},
                        {"admins or readers", config.admins.empty() && config.readers.empty()}};
  for (const Need& need : needs) {
    if (!config.listen.empty() && need.missing)
      return Fail(Errc::kInvalid, Cat("section [https] needs ", need.key, ", too"));
  }
  return {};
}

Result<std::shared_ptr<const tls::Config>> MakeTlsConfig(const HttpsConfig& config) {
  return tls::Config::Server({{config.client_ca}, "[https]"}, {config.certificate, config.key},
                             {std::string(kPlainAnswer), &RefusalAnswer});
}

}  // namespace wherry::engine
