#include "core/runtime/masks.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount.h"
#include "core/sys/path.h"

namespace wherry::runtime {

namespace {

// The mount that covers: the first use is attached and made read-only, the others are copies of that.
class Cover {
 public:
  // The detached mount to attach; `make` gives the first one.
  template <class Make>
  Result<> Put(int target, int proc_fd, Make make) {
    UniqueFd tree;
    if (first_) tree = TRY(sys::CloneTree(first_.get(), "", sys::Recursive::kNo));
    else tree = TRY(make());
    TRY(sys::AttachMount(tree.get(), target));
    if (first_) return {};
    sys::MountAttributes read_only;
    read_only.set = MOUNT_ATTR_RDONLY;
    TRY(sys::SetMountAttributes(tree.get(), read_only, sys::Recursive::kNo, proc_fd));
    first_ = std::move(tree);
    return {};
  }

 private:
  UniqueFd first_;
};

Result<UniqueFd> EmptyDirectory() {
  sys::FsContext context = TRY(sys::FsContext::Open("tmpfs"));
  TRY(context.SetString("size", "4k"));
  TRY(context.SetString("mode", "0555"));
  return context.Mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

// The path, or an empty descriptor when there is none.
Result<UniqueFd> FindPath(int root, const std::string& path) {
  Result<UniqueFd> found = sys::OpenInRoot(root, path, O_PATH);
  if (!found && found.error().error_number() == ENOENT) return UniqueFd();
  return found;
}

constexpr std::string_view kIpcSysctls[] = {
    "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",    "kernel/shm_rmid_forced",
    "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
};

// "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" as in sysctl(8): the separator that comes first separates.
std::string SysctlPath(std::string_view name) {
  std::string path(name);
  size_t first = path.find_first_of("./");
  if (first == std::string::npos || path[first] == '/') return path;
  for (char& c : path) {
    if (c == '.') c = '/';
    else if (c == '/') c = '.';
  }
  return path;
}

std::optional<oci::NamespaceType> SysctlNamespace(const std::string& path) {
  if (path.starts_with("net/")) return oci::NamespaceType::kNetwork;
  if (path.starts_with("fs/mqueue/")) return oci::NamespaceType::kIpc;
  if (std::ranges::find(kIpcSysctls, path) != std::end(kIpcSysctls)) return oci::NamespaceType::kIpc;
  if (path == "kernel/domainname") return oci::NamespaceType::kUts;
  return std::nullopt;
}

}  // namespace

Result<> MaskPaths(int root, int host_null, const oci::RuntimeSpec& spec, int proc_fd) {
  Cover files;
  Cover directories;
  for (const std::string& path : spec.masked_paths) {
    UniqueFd target = TRY_CTX("masked path", FindPath(root, path));
    if (!target) continue;
    struct stat status {};
    if (fstat(target.get(), &status) < 0) return FailSys("fstat", path);
    if (S_ISDIR(status.st_mode)) {
      TRY_CTX(Cat("masked path ", path), directories.Put(target.get(), proc_fd, EmptyDirectory));
    } else {
      auto null_mount = [&] { return sys::CloneTree(host_null, "", sys::Recursive::kNo); };
      TRY_CTX(Cat("masked path ", path), files.Put(target.get(), proc_fd, null_mount));
    }
  }
  return {};
}

Result<> MakePathsReadonly(int root, const oci::RuntimeSpec& spec, int proc_fd) {
  sys::MountAttributes read_only;
  read_only.set = MOUNT_ATTR_RDONLY;
  for (const std::string& path : spec.readonly_paths) {
    UniqueFd target = TRY_CTX("read-only path", FindPath(root, path));
    if (!target) continue;
    UniqueFd tree = TRY_CTX(Cat("read-only path ", path), sys::CloneTree(target.get(), "", sys::Recursive::kYes));
    bool detached = sys::HasMountSetattr();
    if (detached) {
      TRY_CTX(Cat("read-only path ", path), sys::SetMountAttributes(tree.get(), read_only, sys::Recursive::kYes));
    }
    TRY_CTX(Cat("read-only path ", path), sys::AttachMount(tree.get(), target.get()));
    if (!detached) {
      TRY_CTX(Cat("read-only path ", path),
              sys::SetMountAttributes(tree.get(), read_only, sys::Recursive::kNo, proc_fd));
    }
  }
  return {};
}

Result<> CheckSysctls(const oci::RuntimeSpec& spec) {
  for (const auto& [name, value] : spec.sysctl) {
    std::string path = SysctlPath(name);
    for (std::string_view part : Split(path, '/')) {
      if (part.empty() || part == "." || part == "..") return Fail(Errc::kInvalid, Cat("sysctl name \"", name, "\" is malformed"));
    }
    std::optional<oci::NamespaceType> type = SysctlNamespace(path);
    if (!type || spec.FindNamespace(*type) == nullptr) {
      return Fail(Errc::kInvalid, Cat("sysctl \"", name, "\" is not in a separate kernel namespace of the container"));
    }
  }
  return {};
}

Result<> WriteSysctls(const oci::RuntimeSpec& spec, int procfs) {
  for (const auto& [name, value] : spec.sysctl) {
    UniqueFd fd = TRY_CTX(Cat("sysctl ", name), sys::OpenBeneath(procfs, Cat("sys/", SysctlPath(name)), O_WRONLY));
    TRY(WriteAll(fd.get(), value, Cat("sysctl ", name)));
  }
  return {};
}

}  // namespace wherry::runtime
