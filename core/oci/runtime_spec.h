// The OCI runtime configuration (runtime-spec v1.3, config.md and config-linux.md) as far as wherry
// implements it. Parse accepts unknown members, rejects malformed ones naming the field, and
// answers kUnsupported naming the field for members that are known to the specification but not
// implemented: ignoring them would run a container that is not what was asked for. Plain data, no
// threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/id_map.h"
#include "core/base/json.h"
#include "core/base/result.h"

namespace wherry::oci {

enum class NamespaceType : uint8_t { kMount, kPid, kNetwork, kIpc, kUts, kCgroup, kUser, kTime };

struct Namespace {
  NamespaceType type = NamespaceType::kMount;
  std::string path;  // join this one; empty: create
};

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  bool keeps_groups = false;  // those of the caller; not a member of the specification
  // wherry's use of the member the specification has for Windows: "name", "name:group",
  // "1000:staff", resolved against the container's own /etc/passwd and /etc/group. When not empty,
  // uid, gid are ignored and additional_gids are added to.
  std::string username;
};

struct Rlimit {
  std::string type;   // "RLIMIT_NOFILE"
  int resource = 0;   // the number of <sys/resource.h>
  uint64_t soft = 0;  // UINT64_MAX: unlimited
  uint64_t hard = 0;
};

// Names as in capabilities(7), "CAP_CHOWN"; checked by core/runtime/capabilities.
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> permitted;
  std::vector<std::string> inheritable;
  std::vector<std::string> ambient;
};

struct ConsoleSize {
  uint16_t height = 0;  // rows
  uint16_t width = 0;   // columns
};

// As sched_setattr(2) takes it; the last three are nanoseconds, for SCHED_DEADLINE.
struct Scheduler {
  uint32_t policy = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint32_t flags = 0;
  uint64_t runtime = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};

// CPUs of a process that joins a container: before it is in the cgroup, and from then on. Empty:
// the caller's.
struct ExecAffinity {
  std::vector<uint32_t> initial;
  std::vector<uint32_t> final;
};

struct Process {
  bool terminal = false;
  ConsoleSize console_size;
  User user;
  std::vector<std::string> args;             // not empty
  std::vector<std::string> env;              // "NAME=value"
  std::string cwd;                           // absolute
  std::optional<Capabilities> capabilities;  // absent: none at all
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<uint32_t> io_priority;  // as ioprio_set(2) takes it: class << 13 | priority
  ExecAffinity exec_affinity;
  std::string apparmor_profile;  // "": the caller's
  std::string selinux_label;     // "": the caller's
};

struct Mount {
  std::string destination;  // absolute
  std::string type;         // "bind" may also be expressed by an option
  std::string source;
  std::vector<std::string> options;
  // Both or none: file owners of the source to those seen through the mount (mount_setattr(2)).
  IdMap uid_mappings = {};
  IdMap gid_mappings = {};
};

struct Device {
  std::string path;  // absolute
  char type = 'c';   // 'c', 'u' (as 'c'), 'b', 'p'
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t file_mode = 0666;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';                // 'a', 'b', 'c'
  std::optional<uint32_t> major;  // absent: any
  std::optional<uint32_t> minor;
  bool read = false;
  bool write = false;
  bool mknod = false;
};

// Bytes; -1 is unlimited. Absent: leave alone.
struct Memory {
  std::optional<int64_t> limit;
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;  // memory plus swap, as in cgroup v1
  bool check_before_update = false;
};

struct Cpu {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;  // microseconds per period; -1 unlimited
  std::optional<uint64_t> burst;
  std::optional<uint64_t> period;
  std::optional<int64_t> idle;
  std::string cpus;
  std::string mems;
};

struct DeviceRate {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t rate = 0;
};

struct DeviceWeight {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint16_t weight = 0;
};

struct BlockIo {
  std::optional<uint16_t> weight;
  std::vector<DeviceWeight> device_weights;
  std::vector<DeviceRate> read_bps;
  std::vector<DeviceRate> write_bps;
  std::vector<DeviceRate> read_iops;
  std::vector<DeviceRate> write_iops;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;
};

struct RdmaLimit {
  std::string device;
  std::optional<uint32_t> handles;
  std::optional<uint32_t> objects;
};

// A network device of the host that becomes the container's.
struct NetDevice {
  std::string name;    // on the host
  std::string inside;  // its name in the container
};

struct LinuxResources {
  std::vector<DeviceRule> devices;
  Memory memory;
  Cpu cpu;
  std::optional<int64_t> pids_limit;  // -1 unlimited; 0 is a limit
  BlockIo block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::vector<RdmaLimit> rdma;
  std::map<std::string, std::string> unified;  // cgroup v2 file name -> content
};

// A program of the caller's that is told of the container's state on its standard input.
struct Hook {
  std::string path;  // absolute, on the host
  std::vector<std::string> args;
  // The whole of it; absent: that of whoever runs it.
  std::optional<std::vector<std::string>> env;
  std::optional<uint32_t> timeout_seconds;
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;  // in the container's namespaces, by paths of the host
  std::vector<Hook> start_container;   // inside the container, by its paths
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;

  bool empty() const;
};

// As set_mempolicy(2) takes it.
struct MemoryPolicy {
  uint32_t mode = 0;  // with its flags
  std::vector<uint32_t> nodes;
};

// Who answers for SCMP_ACT_NOTIFY.
struct SeccompListener {
  std::string path;      // of a Unix stream socket; "": nobody
  std::string metadata;  // for whoever listens
};

// What a clock shows in a new time namespace, less what it shows outside.
struct TimeOffset {
  std::string clock;  // "monotonic", "boottime"
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

enum class Propagation : uint8_t { kUnset, kPrivate, kSlave, kShared, kUnbindable };

struct RuntimeSpec {
  std::string oci_version;
  Process process;
  std::string root_path;  // relative to the bundle or absolute
  bool root_readonly = false;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  std::map<std::string, std::string> annotations;
  Hooks hooks;

  std::vector<Namespace> namespaces;  // no type twice
  IdMap uid_mappings;                 // of a new user namespace; empty: not given, or joined
  IdMap gid_mappings;
  std::vector<TimeOffset> time_offsets;
  std::vector<Device> devices;
  std::vector<NetDevice> net_devices;
  std::string cgroups_path;
  LinuxResources resources;
  std::map<std::string, std::string> sysctl;
  std::string seccomp;  // JSON text of linux.seccomp; empty: none
  SeccompListener seccomp_listener;
  Propagation rootfs_propagation = Propagation::kUnset;
  bool rootfs_propagation_recursive = true;  // "rslave" against "slave"
  std::optional<uint32_t> personality;       // as personality(2) takes it
  std::optional<MemoryPolicy> memory_policy;
  std::string mount_label;  // SELinux context of the mounts; "": none
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;

  // The namespace of this type, or null.
  const Namespace* FindNamespace(NamespaceType type) const;
  // Whether the container has one of its own, made with it.
  bool MakesNamespace(NamespaceType type) const;

  static Result<RuntimeSpec> Parse(std::string_view json);
};

// The member "process" on its own, as `exec --process` takes it.
Result<Process> ParseProcess(std::string_view json);
// The member "linux.resources" on its own, as `update --resources` takes it.
Result<LinuxResources> ParseResources(std::string_view json);

// "network" for kNetwork: the specification's word.
std::string_view NamespaceName(NamespaceType type);

}  // namespace wherry::oci
