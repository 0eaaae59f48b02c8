#include "core/runtime/masks.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/devices.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "core/sys/path.h"

namespace wherry::runtime {

namespace {

constexpr sys::MountAttributes kReadOnly = {MOUNT_ATTR_RDONLY, 0, 0};

// A detached mount, attached wherever something is to be covered: itself first, then copies of it.
class Cover {
 public:
  explicit Cover(UniqueFd tree) : tree_(std::move(tree)) {}

  Result<> Put(int target, int proc_fd) {
    if (used_) {
      UniqueFd copy = TRY(sys::CloneTree(tree_.get(), "", sys::Recursive::kNo));
      return sys::AttachMount(copy.get(), target);
    }
    TRY(sys::AttachMount(tree_.get(), target));
    used_ = true;
    if (sys::HasMountSetattr())
      return {};
    return sys::SetMountAttributes(tree_.get(), kReadOnly, sys::Recursive::kNo, proc_fd);
  }

 private:
  UniqueFd tree_;
  bool used_ = false;
};

Result<UniqueFd> EmptyDirectory() {
  sys::FsContext context = TRY(sys::FsContext::Open("tmpfs"));
  TRY(context.SetString("source", "tmpfs"));
  TRY(context.SetString("size", "4k"));
  TRY(context.SetString("mode", "0555"));
  return context.Mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                       MOUNT_ATTR_NOEXEC);
}

// The path, or an empty descriptor when there is none.
Result<UniqueFd> FindPath(int root, const std::string& path) {
  Result<UniqueFd> found = sys::OpenInRoot(root, path, O_PATH);
  if (!found && found.error().error_number() == ENOENT)
    return UniqueFd();
  return found;
}

constexpr std::string_view kIpcSysctls[] = {
    "kernel/msgmax",          "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
    "kernel/shm_rmid_forced", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
};

// "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" as in sysctl(8): the separator that
// comes first separates.
std::string SysctlPath(std::string_view name) {
  std::string path(name);
  size_t first = path.find_first_of("./");
  if (first == std::string::npos || path[first] == '/')
    return path;
  for (char& c : path) {
    if (c == '.')
      c = '/';
    else if (c == '/')
      c = '.';
  }
  return path;
}

std::optional<oci::NamespaceType> SysctlNamespace(const std::string& path) {
  if (path.starts_with("net/"))
    return oci::NamespaceType::kNetwork;
  if (path.starts_with("fs/mqueue/"))
    return oci::NamespaceType::kIpc;
  if (std::ranges::find(kIpcSysctls, path) != std::end(kIpcSysctls))
    return oci::NamespaceType::kIpc;
  if (path == "kernel/domainname")
    return oci::NamespaceType::kUts;
  return std::nullopt;
}

bool IsOf(const oci::RuntimeSpec& spec, const std::string& sysctl, SysctlsOf which) {
  std::optional<oci::NamespaceType> type = SysctlNamespace(SysctlPath(sysctl));
  return type && spec.MakesNamespace(*type) == (which == SysctlsOf::kNewNamespaces);
}

}  // namespace

Result<UniqueFd> CloneHostNull() {
  UniqueFd null = TRY(Open("/dev/null", O_PATH));
  if (!IsNullDevice(null.get()))
    return Fail(Errc::kInvalid, "/dev/null of the host is not the null device");
  UniqueFd tree = TRY(sys::CloneTree(null.get(), "", sys::Recursive::kNo));
  if (sys::HasMountSetattr())
    TRY(sys::SetMountAttributes(tree.get(), kReadOnly, sys::Recursive::kNo));
  return tree;
}

Result<> MaskPaths(int root, UniqueFd null_mount, const oci::RuntimeSpec& spec, int proc_fd) {
  Cover files(std::move(null_mount));
  std::optional<Cover> directories;
  for (const std::string& path : spec.masked_paths) {
    UniqueFd target = TRY_CTX("masked path", FindPath(root, path));
    if (!target)
      continue;
    struct stat status{};
    if (fstat(target.get(), &status) < 0)
      return FailSys("fstat", path);
    bool is_directory = S_ISDIR(status.st_mode);
    if (is_directory && !directories)
      directories.emplace(TRY(EmptyDirectory()));
    Cover& cover = is_directory ? *directories : files;
    TRY_CTX(Cat("masked path ", path), cover.Put(target.get(), proc_fd));
  }
  return {};
}

Result<> MakePathsReadonly(int root, const oci::RuntimeSpec& spec, int proc_fd) {
  for (const std::string& path : spec.readonly_paths) {
    UniqueFd target = TRY_CTX("read-only path", FindPath(root, path));
    if (!target)
      continue;
    UniqueFd tree = TRY_CTX(Cat("read-only path ", path),
                            sys::CloneTree(target.get(), "", sys::Recursive::kYes));
    bool detached = sys::HasMountSetattr();
    if (detached) {
      TRY_CTX(Cat("read-only path ", path),
              sys::SetMountAttributes(tree.get(), kReadOnly, sys::Recursive::kYes));
    }
    TRY_CTX(Cat("read-only path ", path), sys::AttachMount(tree.get(), target.get()));
    if (!detached) {
      TRY_CTX(Cat("read-only path ", path),
              sys::SetMountAttributes(tree.get(), kReadOnly, sys::Recursive::kNo, proc_fd));
    }
  }
  return {};
}

Result<> CheckSysctls(const oci::RuntimeSpec& spec) {
  for (const auto& [name, value] : spec.sysctl) {
    std::string path = SysctlPath(name);
    for (std::string_view part : Split(path, '/')) {
      if (part.empty() || part == "." || part == "..")
        return Fail(Errc::kInvalid, Cat("sysctl name \"", name, "\" is malformed"));
    }
    std::optional<oci::NamespaceType> type = SysctlNamespace(path);
    if (!type || spec.FindNamespace(*type) == nullptr) {
      return Fail(Errc::kInvalid, Cat("sysctl \"", name,
                                      "\" is not in a separate kernel namespace of the container"));
    }
    if (path == "kernel/domainname" && !spec.domainname.empty() && spec.domainname != value) {
      return Fail(Errc::kInvalid,
                  Cat("sysctl \"", name, "\" is ", value, ", and domainname is ", spec.domainname));
    }
  }
  return {};
}

bool HasSysctls(const oci::RuntimeSpec& spec, SysctlsOf which) {
  return std::ranges::any_of(spec.sysctl,
                             [&](const auto& entry) { return IsOf(spec, entry.first, which); });
}

Result<> WriteSysctls(const oci::RuntimeSpec& spec, SysctlsOf which, int procfs) {
  for (const auto& [name, value] : spec.sysctl) {
    if (!IsOf(spec, name, which))
      continue;
    UniqueFd fd = TRY_CTX(Cat("sysctl ", name),
                          sys::OpenBeneath(procfs, Cat("sys/", SysctlPath(name)), O_WRONLY));
    TRY(WriteAll(fd.get(), value, Cat("sysctl ", name)));
  }
  return {};
}

}  // namespace wherry::runtime
