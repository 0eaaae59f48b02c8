// What the administrator says about registries (section [registry "HOST[:PORT]"] of the
// configuration).
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace wherry::registry {

struct HostOptions {
  bool insecure = false;         // plain HTTP, or HTTPS without verification; 127.0.0.0/8, ::1 and
                                 // localhost count as listed
  std::string ca_file;           // PEM, in place of the system bundle
  std::string client_cert_file;  // PEM
  std::string client_key_file;   // PEM, 0600
  std::vector<std::string> mirrors;  // base URLs tried before the registry itself
};

struct Options {
  std::map<std::string, HostOptions> hosts;  // key "docker.io", "registry.example:5000"
  std::string system_ca;  // empty: the usual places (/etc/ssl/certs/ca-certificates.crt, ...)
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds stall_timeout{60};  // no byte for so long: the connection counts as lost
  int retries = 10;                        // per request, without progress in between
  std::string user_agent;                  // "wherry/0.1 (linux; arm64)"
};

}  // namespace wherry::registry
