#include <sys/utsname.h>

#include <algorithm>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/shim/init.h"
#include "engine/spec_builder.h"

namespace wherry::engine {

namespace {

// mount_setattr(2), which makes a whole tree read-only, came with Linux 5.12.
bool KernelHasRecursiveReadOnly() {
  utsname name{};
  if (uname(&name) != 0)
    return false;
  std::string_view release = name.release;
  auto parts = Split(release, '.');
  if (parts.size() < 2)
    return false;
  auto major = ParseUint(parts[0]);
  auto minor = ParseUint(parts[1].substr(0, parts[1].find_first_not_of("0123456789")));
  return major && minor && (*major > 5 || (*major == 5 && *minor >= 12));
}

std::string_view AccessWord(bool writable) {
  return writable ? "rw" : "ro";
}

void AddIpcMounts(std::vector<RuntimeMount>& mounts, const HostOptions& options) {
  if (options.ipc_mode == "host") {
    mounts.push_back(
        {"/dev/mqueue", "bind", "/dev/mqueue", {"rbind", "nosuid", "noexec", "nodev"}});
    mounts.push_back({"/dev/shm", "bind", "/dev/shm", {"rbind", "nosuid", "noexec", "nodev"}});
    if (!PathExists("/dev/mqueue"))
      mounts.erase(mounts.end() - 2);
    return;
  }
  mounts.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
  if (options.ipc_mode == "none")
    return;
  mounts.push_back({"/dev/shm",
                    "tmpfs",
                    "shm",
                    {"nosuid", "noexec", "nodev", "mode=1777", Cat("size=", options.shm_size)}});
}

std::vector<RuntimeMount> DefaultMounts(const HostOptions& options) {
  std::string access(AccessWord(options.privileged && !options.readonly_rootfs));
  std::vector<RuntimeMount> mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {access, "nosuid", "noexec", "nodev"}},
  };
  AddIpcMounts(mounts, options);
  return mounts;
}

RuntimeMount BindMount(const MountRequest& request, bool remapped) {
  RuntimeMount mount{request.target, "bind", request.source, {}};
  mount.options.emplace_back(request.recursive ? "rbind" : "bind");
  mount.options.push_back(request.propagation);
  // The engine's own: the host's files keep the owners they have.
  if (remapped && request.type == MountRequest::Type::kVolume)
    mount.options.emplace_back("idmap");
  if (request.fill)
    mount.options.emplace_back("copyup");
  if (request.read_only) {
    bool recursive =
        request.force_recursive || (request.read_only_recursive && KernelHasRecursiveReadOnly());
    mount.options.emplace_back("ro");
    if (recursive)
      mount.options.emplace_back("rro");
  }
  return mount;
}

RuntimeMount TmpfsMount(const MountRequest& request) {
  RuntimeMount mount{request.target, "tmpfs", "tmpfs", {"noexec", "nosuid", "nodev", "rprivate"}};
  mount.options.insert(mount.options.end(), request.options.begin(), request.options.end());
  if (request.read_only)
    mount.options.emplace_back("ro");
  return mount;
}

std::vector<RuntimeMount> OwnFiles(const SpecInput& input) {
  std::vector<RuntimeMount> mounts;
  for (std::string_view name : {"resolv.conf", "hostname", "hosts"}) {
    std::string access(AccessWord(!input.config.host.readonly_rootfs));
    mounts.push_back({Cat("/etc/", name),
                      "bind",
                      Cat(input.run_directory, "/", name),
                      {"rbind", "rprivate", access}});
  }
  if (!input.init.empty())
    mounts.push_back(
        {shim::kInitPath, "bind", std::string(input.init), {"bind", "rprivate", "ro"}});
  return mounts;
}

size_t Depth(const RuntimeMount& mount) {
  return static_cast<size_t>(std::count(mount.destination.begin(), mount.destination.end(), '/'));
}

// A default mount at a place the user mounts something else on goes, with /dev everything below it.
void DropOverridden(std::vector<RuntimeMount>& mounts, const std::set<std::string_view>& targets) {
  bool own_dev = targets.contains("/dev");
  std::erase_if(mounts, [&](const RuntimeMount& mount) {
    return targets.contains(mount.destination) ||
           (own_dev && mount.destination.starts_with("/dev/"));
  });
}

}  // namespace

std::vector<RuntimeMount> BuildMounts(const SpecInput& input) {
  const HostOptions& options = input.config.host;
  std::set<std::string_view> targets;
  for (const MountRequest& request : options.mounts)
    targets.insert(request.target);

  std::vector<RuntimeMount> mounts = DefaultMounts(options);
  DropOverridden(mounts, targets);
  std::vector<RuntimeMount> later = OwnFiles(input);
  DropOverridden(later, targets);
  for (const MountRequest& request : options.mounts) {
    later.push_back(request.type == MountRequest::Type::kTmpfs
                        ? TmpfsMount(request)
                        : BindMount(request, input.ids != nullptr));
  }
  // Parents before children, whatever order they were asked for in.
  std::stable_sort(later.begin(), later.end(), [](const RuntimeMount& a, const RuntimeMount& b) {
    return Depth(a) < Depth(b);
  });
  mounts.insert(mounts.end(), std::make_move_iterator(later.begin()),
                std::make_move_iterator(later.end()));
  return mounts;
}

// A mount can only propagate when the root it lies on does.
std::string_view RootPropagation(const std::vector<MountRequest>& mounts) {
  std::string_view propagation;
  for (const MountRequest& mount : mounts) {
    if (mount.propagation == "shared" || mount.propagation == "rshared")
      return "shared";
    if (mount.propagation == "slave" || mount.propagation == "rslave")
      propagation = "slave";
  }
  return propagation;
}

}  // namespace wherry::engine
