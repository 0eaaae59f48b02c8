// What a container was created with: the request as received, normalised once and echoed by inspect
// (so that inspect can be given back to create), and the parsed fields the engine acts on.
// Immutable after creation but for the name. Docker Engine API v1.47: ContainerConfig, HostConfig,
// NetworkingConfig. Thread-safe: pure functions and plain data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/health_config.h"
#include "engine/network/endpoint.h"
#include "engine/restart_policy.h"

namespace wherry::oci {
struct ImageConfig;
}

namespace wherry::engine {

struct MountRequest {
  enum class Type : uint8_t { kBind, kTmpfs, kVolume };
  Type type = Type::kBind;
  std::string source;      // of a bind; absolute. Of a volume: LocateVolumes (engine/volumes.h)
  std::string volume;      // its name
  bool anonymous = false;  // the volume was made for this container and goes with it
  bool copy = true;        // an empty volume is filled from the image
  bool fill = false;       // at this start
  std::string target;      // absolute, cleaned
  std::string mode;        // as written after the second colon of -v: "ro,Z"
  bool read_only = false;
  bool read_only_recursive = true;  // best effort on kernels before 5.12
  bool force_recursive = false;     // fail where read-only cannot be recursive
  bool recursive = true;            // rbind
  bool create_source = false;       // -v makes a missing directory, --mount does not
  std::string propagation = "rprivate";
  std::vector<std::string> options;  // of a tmpfs, without the default ones
};

struct DeviceRequest {
  std::string host_path;
  std::string container_path;
  std::string access = "rwm";
};

struct ThrottleRequest {
  std::string path;
  uint64_t rate = 0;
};

struct Ulimit {
  std::string name;  // "nofile"
  int64_t soft = 0;  // -1: unlimited
  int64_t hard = 0;
};

// 0 or empty: not asked for.
struct LimitRequest {
  int64_t memory = 0;
  int64_t memory_reservation = 0;
  int64_t memory_swap = 0;  // memory plus swap; -1 unlimited
  int64_t cpu_shares = 0;
  int64_t cpu_quota = 0;  // microseconds; from NanoCpus too
  int64_t cpu_period = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  int64_t pids = 0;  // -1 unlimited
  int64_t blkio_weight = 0;
  std::vector<ThrottleRequest> blkio_weight_device;
  std::vector<ThrottleRequest> read_bps;
  std::vector<ThrottleRequest> write_bps;
  std::vector<ThrottleRequest> read_iops;
  std::vector<ThrottleRequest> write_iops;
};

enum class SeccompChoice : uint8_t { kDefault, kUnconfined };

struct HostOptions {
  std::string network_mode;   // "none", "host", "container:x", or a network
  std::string ipc_mode;       // "private", "none", "host", "shareable"
  std::string pid_mode;       // "", "host"
  std::string uts_mode;       // "", "host"
  std::string cgroupns_mode;  // "private", "host"
  std::string userns_mode;    // "", "host"
  bool auto_remove = false;
  bool init = false;  // a process of ours is the container's first one
  RestartPolicy restart;
  bool privileged = false;
  bool readonly_rootfs = false;
  bool no_new_privileges = false;
  SeccompChoice seccomp = SeccompChoice::kDefault;
  std::string apparmor_profile;      // "": the daemon's
  std::vector<std::string> cap_add;  // "CAP_CHOWN", "ALL"
  std::vector<std::string> cap_drop;
  std::vector<MountRequest> mounts;  // binds, mounts and tmpfs, in the order of their targets
  std::vector<DeviceRequest> devices;
  std::vector<std::string> device_rules;  // "c 1:3 rwm"
  std::vector<Ulimit> ulimits;
  std::map<std::string, std::string> sysctls;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::vector<uint32_t> additional_gids;
  std::vector<std::string> dns;
  std::vector<std::string> dns_options;
  std::vector<std::string> dns_search;
  std::vector<std::string> extra_hosts;  // "name:address"
  std::vector<PortRequest> ports;
  int64_t shm_size = 64 << 20;
  uint64_t storage_size = 0;  // bytes the container's own layer may hold; 0: any number
  int oom_score_adj = 0;
  uint16_t console_rows = 0;
  uint16_t console_columns = 0;
  std::string log_driver;                // "json-file", "none"
  std::optional<uint64_t> log_max_size;  // absent: the daemon's configuration
  std::optional<uint64_t> log_max_files;
  LimitRequest limits;
};

// The label of an app's container, with the app's name. The updater owns such containers: it starts
// them after the daemon's start, and prune leaves them alone.
inline constexpr std::string_view kAppLabel = "io.wherry.app";

struct ContainerConfig {
  bool OwnedByUpdates() const { return labels.contains(std::string(kAppLabel)); }

  // The JSON objects Config, HostConfig and NetworkingConfig with every field present.
  std::string config_json;
  std::string host_config_json;
  std::string networking_json;
  std::string volumes_json;

  std::string image;              // as asked for
  std::vector<std::string> args;  // entrypoint and command; never empty
  std::vector<std::string> env;
  std::string working_dir;  // "" is "/"
  std::string user;
  std::string hostname;  // "" : first twelve digits of the ID
  std::string domainname;
  int stop_signal = 15;
  std::optional<int> stop_timeout_seconds;  // -1: never SIGKILL
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  std::map<std::string, std::string> labels;
  std::vector<EndpointRequest> endpoints;  // the network of network_mode first
  std::optional<HealthCheck> health;
  HostOptions host;
};

// What create received, normalised: defaults filled in, the image's configuration merged into
// Config, null for nothing that the API's schema wants as array or object. kInvalid for a field of
// the wrong type; kUnsupported naming the field for what this version does not do. Unknown fields
// are dropped.
struct RequestDefaults {
  std::string_view hostname;  // echoed when none was given
  std::string_view network;   // what the mode "default" means
  uint64_t storage_size = 0;  // of containers that name none; 0: any
};
struct NormalisedRequest {
  std::string config_json;
  std::string host_config_json;
  std::string networking_json;
  // {"/data":"<64 hex>"}: names of the volumes that are made for this container, by target.
  std::string volumes_json = "{}";
};
Result<NormalisedRequest> NormaliseRequest(JsonValue body, const oci::ImageConfig& image,
                                           const RequestDefaults& defaults);

// Reads the normalised objects; checks every value the engine acts on. kInvalid and kUnsupported in
// Docker's words where it has any.
Result<ContainerConfig> ParseContainerConfig(NormalisedRequest request);

// Sentences for the "Warnings" of the create response: what was accepted and will have no effect.
std::vector<std::string> CreateWarnings(const ContainerConfig& config);

}  // namespace wherry::engine
