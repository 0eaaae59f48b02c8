#include "net/registry/endpoint.h"

#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::registry {

namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubHost = "registry-1.docker.io";

std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

HostOptions OptionsOf(const Options& options, const std::string& host) {
  auto found = options.hosts.find(host);
  return found == options.hosts.end() ? HostOptions() : found->second;
}

http::TlsOptions TlsOf(const Options& options, const std::string& host) {
  HostOptions own = OptionsOf(options, host);
  http::TlsOptions tls;
  tls.ca_file = own.ca_file.empty() ? options.system_ca : own.ca_file;
  tls.cert_file = own.client_cert_file;
  tls.key_file = own.client_key_file;
  // A CA that was given is always used; without one an insecure registry's certificate is not looked at.
  tls.verify = !(own.insecure || (IsLoopback(host) && own.ca_file.empty()));
  return tls;
}

}  // namespace

bool IsLoopback(std::string_view host) {
  std::string_view name = WithoutPort(host);
  if (name == "localhost" || name == "::1") return true;
  auto parts = Split(name, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (std::string_view part : parts) {
    auto number = ParseUint(part);
    if (!number || *number > 255) return false;
  }
  return true;
}

std::vector<EndpointPlan> PlanEndpoints(const Options& options, const std::string& host) {
  std::vector<EndpointPlan> plans;
  HostOptions own = OptionsOf(options, host);
  for (std::string mirror : own.mirrors) {
    while (mirror.ends_with('/')) mirror.pop_back();
    std::string_view mirror_host = std::string_view(mirror).substr(mirror.find("://") + 3);
    plans.push_back({{mirror}, TlsOf(options, std::string(mirror_host.substr(0, mirror_host.find('/')))), true});
  }
  std::string address = host == kHub ? std::string(kHubHost) : host;
  EndpointPlan plan{{Cat("https://", address)}, TlsOf(options, host), false};
  bool plain_allowed = own.insecure || (IsLoopback(host) && own.ca_file.empty());
  if (plain_allowed) plan.base_urls.push_back(Cat("http://", address));
  plans.push_back(std::move(plan));
  return plans;
}

}  // namespace wherry::registry
