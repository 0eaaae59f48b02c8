// Where a registry can be asked: its mirrors, then itself; and which protocols may be tried there. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http/curl_transfer.h"
#include "net/registry/options.h"

namespace wherry::registry {

struct EndpointPlan {
  std::vector<std::string> base_urls;  // tried in order until one speaks: https first, http only where allowed
  http::TlsOptions tls;
  bool mirror = false;
};

// 127.0.0.0/8, ::1 and localhost, with or without port: plain HTTP is allowed there, as in Docker.
bool IsLoopback(std::string_view host);

// "docker.io" -> its mirrors and https://registry-1.docker.io.
std::vector<EndpointPlan> PlanEndpoints(const Options& options, const std::string& host);

}  // namespace wherry::registry
