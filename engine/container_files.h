// The files a start puts below /run/wherry/c/<id> (hosts, hostname, resolv.conf) and the
// directories it needs on flash. Blocking: worker threads. No state.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

// What the container has of the network.
struct NetworkIdentity {
  std::string_view mode;  // see HostOptions
  std::vector<net::Ipv4> addresses;
  net::Ipv4 gateway;      // of the first; 0.0.0.0: none
  bool resolver = false;  // the engine's own, at 127.0.0.11
};

// Content of the three files. With the host's network the machine's own files are the base.
std::string HostsFile(const ContainerConfig& config, const NetworkIdentity& network,
                      std::string_view hostname, std::string_view host_file);
std::string ResolvFile(const HostOptions& options, bool resolver, std::string_view host_file);

// Writes them into `run_directory`, reading /etc/hosts and /etc/resolv.conf of the machine.
Result<> WriteNetworkFiles(const ContainerConfig& config, const NetworkIdentity& network,
                           std::string_view hostname, const std::string& run_directory);

// The name the container gets: its own, the machine's with the host's network or UTS namespace,
// else the short ID.
std::string EffectiveHostname(const ContainerConfig& config, std::string_view network,
                              std::string_view id);

// Sources of bind mounts: a missing one is made (as a directory) for -v, and an error for --mount.
enum class MissingSource : uint8_t { kCreate, kReportOnly };
Result<> CheckBindSources(const ContainerConfig& config, MissingSource missing);

}  // namespace wherry::engine
