// A group of services as compose files describe it: what runs, in which networks, with which
// volumes, in which order. A plain value without files and processes behind it, read by Load
// (load.h). Names are those of the files; what the engine knows them by is beside them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/compose/interpolate.h"

namespace wherry::compose {

struct Port {
  std::string port;     // "80/tcp"
  std::string address;  // of the host; may be empty
  std::string host;     // "8080", "8000-8010"; empty: any free one
};

struct Mount {
  enum class Type : uint8_t { kBind, kVolume, kTmpfs };
  Type type = Type::kVolume;
  std::string source;  // absolute path, or key of Group::volumes; empty: an anonymous volume
  std::string target;
  std::string mode;  // "rw", "ro,z": of a bind in Docker's short form
  bool read_only = false;
  bool no_copy = false;
  bool must_exist = false;  // the source of a bind is not made
  std::string propagation;
  int64_t tmpfs_size = 0;
  int64_t tmpfs_mode = 0;
};

struct NetworkUse {
  std::string network;  // key of Group::networks
  std::vector<std::string> aliases;
  std::string ipv4;
  std::string mac_address;
  int64_t priority = 0;  // the highest is the main one
};

enum class Condition : uint8_t { kStarted, kHealthy, kCompleted };

struct Dependency {
  std::string service;
  Condition condition = Condition::kStarted;
  bool required = true;
};

struct Build {
  std::string context;      // absolute path
  std::string dockerfile;   // relative to the context, or absolute; empty: Dockerfile
  std::string inline_text;  // a Dockerfile in the place of the file
  std::map<std::string, std::optional<std::string>, std::less<>> args;
  std::map<std::string, std::string, std::less<>> labels;
  std::vector<std::string> tags;
  std::string target;
  std::string network;
  bool no_cache = false;
  bool pull = false;
};

struct Service {
  std::string name;
  std::string image;  // never empty: that of a build has a name, too
  std::optional<Build> build;
  std::string platform;
  std::string pull_policy;  // "missing" by default, "always", "never", "build"
  std::string container_name;
  int64_t scale = 1;
  bool tty = false;
  bool stdin_open = false;
  Environment environment;
  std::map<std::string, std::string, std::less<>> labels;
  std::vector<Port> ports;
  std::vector<std::string> expose;  // "80/tcp"
  std::vector<Mount> mounts;
  std::vector<NetworkUse> networks;  // by priority, then by name
  std::string mac_address;           // in the main network
  std::string network_mode;          // "host", "none", "service:NAME"; empty: `networks`
  std::vector<Dependency> depends_on;
  std::vector<std::string> profiles;
  // Further members of Docker's create request, name to JSON: of the body and of its HostConfig.
  std::map<std::string, std::string, std::less<>> config;
  std::map<std::string, std::string, std::less<>> host_config;
};

struct Network {
  std::string key;
  std::string name;  // in the engine
  bool external = false;
  bool internal = false;
  std::string driver;
  std::map<std::string, std::string, std::less<>> options;
  std::map<std::string, std::string, std::less<>> labels;
  struct Subnet {
    std::string subnet, gateway, ip_range;
  };
  std::vector<Subnet> subnets;
};

struct Volume {
  std::string key;
  std::string name;  // in the engine
  bool external = false;
  std::string driver;
  std::map<std::string, std::string, std::less<>> options;
  std::map<std::string, std::string, std::less<>> labels;
};

struct Group {
  std::string name;
  std::string directory;           // absolute
  std::vector<std::string> files;  // absolute
  std::vector<Service> services;   // in the files' order
  std::vector<Network> networks;
  std::vector<Volume> volumes;

  const Service* FindService(std::string_view service) const;
  const Network* FindNetwork(std::string_view key) const;
  const Volume* FindVolume(std::string_view key) const;
};

// Docker's rule for the names of groups, applied to a directory's: lower case letters, digits, "_"
// and "-".
std::string GroupName(std::string_view text);

enum class Dependencies : uint8_t { kInclude, kLeaveOut };

// The services `names` (none: those without profiles and those of `profiles`; "*" is every one),
// with what they depend on, in the order to start them. kNotFound for a name that is not there,
// kInvalid for a dependency that no profile switches on.
Result<std::vector<const Service*>> SelectServices(const Group& group,
                                                   const std::vector<std::string>& names,
                                                   const std::vector<std::string>& profiles,
                                                   Dependencies dependencies);

// kInvalid naming a cycle of depends_on and network_mode ("a -> b -> a").
Result<> CheckCycles(const Group& group);

}  // namespace wherry::compose
