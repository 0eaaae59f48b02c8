// From what a container was created with to its OCI runtime configuration (runtime-spec 1.2), with
// Docker's defaults: capabilities, mounts, masked paths, device rules, limits. Looks at the host
// for device nodes, the sources of binds and the kernel version; changes nothing. Blocking: worker
// threads. No state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/id_map.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

struct SpecInput {
  const ContainerConfig& config;
  std::string_view id;
  std::string_view hostname;
  std::string_view network;              // HostOptions::network_mode
  std::string_view run_directory;        // has hosts, hostname and resolv.conf
  std::string_view cgroup;               // below the cgroup2 mount
  std::string_view netns = {};           // path of the network namespace; empty: a new one
  std::string_view init = {};            // of the host, to be bound into the container (--init)
  const IdMaps* ids = nullptr;           // of a container that is remapped
  std::string_view user_namespace = {};  // of an exec, to be joined: its path
};

// The text of config.json. kInvalid for what a remapped container cannot have. kInvalid and
// kNotFound name the device or path of the host that is not
// usable.
Result<std::string> BuildRuntimeConfig(const SpecInput& input);

// The same for a further process of the container (exec): who it is and what namespaces there are
// to join; `input.config` has the arguments, environment, user and directory of that process.
std::string BuildExecConfig(const SpecInput& input);

// Docker's rule for capability options; names in ascending order of number.
std::vector<std::string> EffectiveCapabilities(const HostOptions& options);

// Docker's environment: PATH, HOSTNAME, TERM with a terminal, then the container's own; a name
// without '=' unsets.
std::vector<std::string> BuildEnvironment(const ContainerConfig& config, std::string_view hostname);

// Parts of the document, one file each; for BuildRuntimeConfig and tests.
struct RuntimeMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};
std::vector<RuntimeMount> BuildMounts(const SpecInput& input);  // spec_builder_mounts.cpp
std::string_view RootPropagation(const std::vector<MountRequest>& mounts);  // "", "slave", "shared"
Result<> WriteDevices(JsonWriter& json,
                      const HostOptions& options);  // linux.devices, spec_builder_devices.cpp
Result<> WriteResources(JsonWriter& json, const HostOptions& options);  // linux.resources

}  // namespace wherry::engine
