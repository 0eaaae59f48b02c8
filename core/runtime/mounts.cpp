#include "core/runtime/mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/copy_up.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr long kProcMagic = 0x9fa0;

// What lxcfs and the like may cover below /proc. Anything else there could redirect the runtime or
// hide what it checks.
constexpr std::string_view kAllowedBelowProc[] = {
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
};

// File systems that show a namespace and belong to the user namespace that owns it: those of a new
// one can only be made inside. procfs shows the pid namespace of whoever makes it.
struct InsideRow {
  std::string_view type;
  oci::NamespaceType shows;
};
constexpr InsideRow kInside[] = {
    {"proc", oci::NamespaceType::kMount},    {"tmpfs", oci::NamespaceType::kMount},
    {"ramfs", oci::NamespaceType::kMount},   {"devpts", oci::NamespaceType::kMount},
    {"sysfs", oci::NamespaceType::kNetwork}, {"mqueue", oci::NamespaceType::kIpc},
    {"cgroup", oci::NamespaceType::kCgroup}, {"cgroup2", oci::NamespaceType::kCgroup},
};

bool IsCgroup(const oci::Mount& mount) {
  return mount.type == "cgroup" || mount.type == "cgroup2";
}
bool IsPseudo(const oci::Mount& mount) {
  return mount.type == "proc" || mount.type == "sysfs";
}

bool IsTmpfs(const PlannedMount& mount) {
  return mount.spec->type == "tmpfs" && !mount.options.bind;
}

Result<> CheckDestination(const PlannedMount& mount) {
  const std::string& path = mount.destination;
  if (path == "/")
    return Fail(Errc::kInvalid, "a mount cannot cover the root file system");
  if (mount.spec->type == "proc" && !mount.options.bind && path != "/proc") {
    return Fail(Errc::kInvalid, "procfs can only be mounted on /proc");
  }
  if (mount.spec->type == "sysfs" && !mount.options.bind && path != "/sys") {
    return Fail(Errc::kInvalid, "sysfs can only be mounted on /sys");
  }
  bool below = path.starts_with("/proc/");
  if (below && std::ranges::find(kAllowedBelowProc, path) == std::end(kAllowedBelowProc)) {
    return Fail(Errc::kInvalid, "nothing can be mounted there: it is inside /proc");
  }
  return {};
}

Result<UniqueFd> CloneSource(PlannedMount& mount, const UniqueFd& fd) {
  struct stat status{};
  if (fstat(fd.get(), &status) < 0)
    return FailSys("fstat", mount.spec->source);
  mount.kind = S_ISDIR(status.st_mode) ? sys::CreateAs::kDirectory : sys::CreateAs::kFile;
  return sys::CloneTree(fd.get(), "", mount.options.bind_recursive);
}

Result<UniqueFd> OpenBind(PlannedMount& mount, const std::string& source) {
  UniqueFd fd = TRY(Open(source, O_PATH));
  return CloneSource(mount, fd);
}

Result<UniqueFd> MountFileSystem(const PlannedMount& mount, const std::string& type,
                                 const std::string& label) {
  if (type.empty())
    return Fail(Errc::kInvalid, "neither a type nor bind is given");
  sys::FsContext context = TRY(sys::FsContext::Open(type));
  if (!mount.spec->source.empty())
    TRY(context.SetString("source", mount.spec->source));
  for (const std::string& option : mount.options.data)
    TRY(context.SetOption(option));
  if (!label.empty() && !IsPseudo(*mount.spec) && !IsCgroup(*mount.spec))
    TRY(context.SetString("context", label));
  uint64_t attributes = mount.options.attributes.set | mount.options.recursive_attributes.set;
  // Its mode and content, and what is mounted in it, come later: Seal.
  if (IsTmpfs(mount))
    attributes &= ~uint64_t{MOUNT_ATTR_RDONLY};
  return context.Mount(attributes);
}

// What bind mounts need and fsmount has not done.
Result<> ApplyAttributes(const PlannedMount& mount, int proc_fd) {
  sys::MountAttributes plain = mount.options.attributes;
  plain.propagation = 0;
  sys::MountAttributes propagation;
  propagation.propagation = mount.options.attributes.propagation;
  TRY(sys::SetMountAttributes(mount.tree.get(), plain, sys::Recursive::kNo, proc_fd));
  TRY(sys::SetMountAttributes(mount.tree.get(), mount.options.recursive_attributes,
                              sys::Recursive::kYes, proc_fd));
  return sys::SetMountAttributes(mount.tree.get(), propagation, mount.options.propagation_recursive,
                                 proc_fd);
}

bool WantsHostPropagation(const PlannedMount& mount) {
  uint64_t type = mount.options.attributes.propagation;
  return mount.options.bind && (type == MS_SHARED || type == MS_SLAVE);
}

// A tmpfs without "mode" takes the mode of the directory it covers, as in runc; where there is none
// it keeps the kernel's default, 01777.
Result<> CopyMode(const PlannedMount& mount, mode_t mode) {
  UniqueFd top = TRY(OpenAt(mount.tree.get(), ".", O_RDONLY | O_DIRECTORY));
  if (fchmod(top.get(), mode & 07777) < 0)
    return FailSys("fchmod");
  return {};
}

std::unexpected<Error> MountFailure(Error error, const PlannedMount& mount) {
  const std::string& source = mount.spec->source.empty() ? mount.spec->type : mount.spec->source;
  return std::unexpected(
      std::move(error).Wrap(Cat("mount ", source, " on ", mount.spec->destination)));
}

}  // namespace

Result<UniqueFd> OpenIds(const oci::RuntimeSpec& spec) {
  const oci::Namespace* user = spec.FindNamespace(oci::NamespaceType::kUser);
  if (user == nullptr) {
    return Fail(Errc::kInvalid,
                "idmap needs a user namespace of the container, or uidMappings and gidMappings");
  }
  if (!user->path.empty())
    return Open(user->path, O_RDONLY);
  return sys::MakeUserNamespace({spec.uid_mappings, spec.gid_mappings});
}

Result<MountPlan> MountPlan::Open(const oci::RuntimeSpec& spec, const std::string& bundle,
                                  const std::string& cgroup_root) {
  MountPlan plan;
  plan.spec_ = &spec;
  plan.own_cgroup_namespace_ = spec.FindNamespace(oci::NamespaceType::kCgroup) != nullptr;
  for (const oci::Mount& entry : spec.mounts) {
    PlannedMount mount;
    mount.spec = &entry;
    mount.destination = sys::CleanPath(entry.destination);
    mount.options = TRY_CTX(Cat("mount on ", entry.destination), ParseMountOptions(entry.options));
    if (entry.type == "bind")
      mount.options.bind = true;
    Result<> good = CheckDestination(mount);
    if (!good)
      return MountFailure(std::move(good).error(), mount);
    plan.mounts_.push_back(std::move(mount));
  }
  // A copy made before the tree is private still is a peer of the host's mount: only for those that
  // ask for it.
  for (bool before : {true, false}) {
    if (!before)
      TRY(sys::MakeAllPrivate());
    for (PlannedMount& mount : plan.mounts_) {
      if (WantsHostPropagation(mount) != before || plan.BelongsInside(mount))
        continue;
      Result<> opened = plan.OpenOne(mount, bundle, cgroup_root);
      if (!opened)
        return MountFailure(std::move(opened).error(), mount);
    }
  }
  return plan;
}

Result<> MountPlan::OpenOne(PlannedMount& mount, const std::string& bundle,
                            const std::string& cgroup_root) {
  if (IsCgroup(*mount.spec) && !own_cgroup_namespace_) {
    // The host's hierarchy: never writable (CVE-2023-25809).
    mount.options.bind = true;
    mount.options.attributes.set |= MOUNT_ATTR_RDONLY;
    mount.tree = TRY(OpenBind(mount, cgroup_root));
  } else if (mount.options.bind) {
    const std::string& source = mount.spec->source;
    if (source.empty())
      return Fail(Errc::kInvalid, "a bind mount needs a source");
    std::string path = source.starts_with('/') ? source : Cat(bundle, "/", source);
    Result<UniqueFd> tree = OpenBind(mount, path);
    if (!tree && tree.error().code() == Errc::kNotFound)
      mount.source_inside = InsideOf(path, bundle);
    if (!mount.source_inside.empty())
      return {};
    mount.tree = TRY(std::move(tree));
    if (mount.options.copy_up)
      mount.source = TRY(OpenToFill(mount, path));
  } else {
    return OpenFileSystem(mount);
  }
  TRY(MapIds(mount, mount.tree.get()));
  if (mount.options.bind && sys::HasMountSetattr())
    TRY(ApplyAttributes(mount, -1));
  return {};
}

// Where a path of the host is in the container; empty: nowhere, or where a user namespace would
// have to be asked. Configurations name such sources because runc mounts one after the other below
// the root file system's path.
std::string MountPlan::InsideOf(const std::string& path, const std::string& bundle) const {
  std::string root =
      spec_->root_path.starts_with('/') ? spec_->root_path : Cat(bundle, "/", spec_->root_path);
  root = Cat(sys::CleanPath(root), "/");
  std::string clean = sys::CleanPath(path);
  bool inside = !spec_->root_path.empty() && clean.starts_with(root) &&
                spec_->FindNamespace(oci::NamespaceType::kUser) == nullptr;
  return inside ? clean.substr(root.size() - 1) : std::string();
}

bool MountPlan::BelongsInside(const PlannedMount& mount) const {
  if (mount.options.bind || (IsCgroup(*mount.spec) && !own_cgroup_namespace_))
    return false;
  auto row = std::ranges::find(kInside, mount.spec->type, &InsideRow::type);
  return row != std::end(kInside) &&
         (spec_->FindNamespace(oci::NamespaceType::kUser) == nullptr ||
          row->shows == oci::NamespaceType::kMount || spec_->MakesNamespace(row->shows));
}

Result<> MountPlan::OpenInside() {
  for (PlannedMount& mount : mounts_) {
    if (!BelongsInside(mount))
      continue;
    Result<> opened = OpenFileSystem(mount);
    if (!opened)
      return MountFailure(std::move(opened).error(), mount);
  }
  return {};
}

Result<> MountPlan::OpenFileSystem(PlannedMount& mount) {
  const std::string& type = mount.spec->type;
  Result<UniqueFd> made =
      MountFileSystem(mount, IsCgroup(*mount.spec) ? "cgroup2" : type, spec_->mount_label);
  bool is_hosts =
      (type == "proc" && spec_->FindNamespace(oci::NamespaceType::kPid) == nullptr) ||
      (type == "sysfs" && spec_->FindNamespace(oci::NamespaceType::kNetwork) == nullptr);
  if (!made && made.error().code() == Errc::kDenied && is_hosts) {
    // Of a namespace that is the host's and not this user namespace's: what the host has there.
    mount.options.bind = true;
    mount.options.bind_recursive = sys::Recursive::kYes;
    mount.tree = TRY(OpenBind(mount, mount.destination));
    return sys::HasMountSetattr() ? ApplyAttributes(mount, -1) : Result<>();
  }
  mount.tree = TRY(std::move(made));
  TRY(MapIds(mount, mount.tree.get()));
  if (mount.options.copy_up && type != "tmpfs")
    return Fail(Errc::kInvalid, "only a tmpfs or a bind mount can be filled: tmpcopyup");
  if (mount.options.copy_up)
    mount.source = TRY(OpenAt(mount.tree.get(), ".", O_RDONLY | O_DIRECTORY));
  return {};
}

// Through a mount of its own, which stays writable.
Result<UniqueFd> MountPlan::OpenToFill(const PlannedMount& mount, const std::string& path) {
  UniqueFd directory = TRY(OpenDir(path));
  UniqueFd tree = TRY(sys::CloneTree(directory.get(), "", sys::Recursive::kNo));
  TRY(MapIds(mount, tree.get()));
  return OpenAt(tree.get(), ".", O_RDONLY | O_DIRECTORY);
}

Result<> MountPlan::MapIds(const PlannedMount& mount, int tree) {
  const oci::Mount& wanted = *mount.spec;
  if (!mount.options.id_mapped && wanted.uid_mappings.empty())
    return {};
  UniqueFd own;
  if (!wanted.uid_mappings.empty()) {
    own = TRY(sys::MakeUserNamespace({wanted.uid_mappings, wanted.gid_mappings}));
  } else if (!ids_) {
    ids_ = TRY(OpenIds(*spec_));
  }
  int ids = own ? own.get() : ids_.get();
  return sys::MapMountIds(tree, ids, mount.options.id_mapped_recursive);
}

Result<> MountPlan::Attach(int root) {
  for (PlannedMount& mount : mounts_) {
    Result<> attached = AttachOne(mount, root);
    if (!attached)
      return MountFailure(std::move(attached).error(), mount);
  }
  return {};
}

Result<> MountPlan::AttachOne(PlannedMount& mount, int root) {
  bool takes_mode = IsTmpfs(mount) && !mount.options.HasData("mode") &&
                    sys::OpenInRoot(root, mount.destination, O_PATH).has_value();
  if (!mount.source_inside.empty()) {
    UniqueFd source = TRY(sys::OpenInRoot(root, mount.source_inside, O_PATH));
    mount.tree = TRY(CloneSource(mount, source));
    if (sys::HasMountSetattr())
      TRY(ApplyAttributes(mount, -1));
  }
  UniqueFd target;
  if (IsPseudo(*mount.spec) && !mount.options.bind) {
    // Exactly /proc or /sys, and a real directory: a link there would redirect everything that is
    // checked later.
    std::string name = mount.destination.substr(1);
    if (mkdirat(root, name.c_str(), 0755) < 0 && errno != EEXIST)
      return FailSys("mkdir", mount.destination);
    target = TRY(sys::OpenBeneath(root, name, O_PATH | O_DIRECTORY));
  } else {
    target = TRY(sys::OpenOrCreateInRoot(root, mount.destination, mount.kind));
    struct statfs fs{};
    if (fstatfs(target.get(), &fs) < 0)
      return FailSys("fstatfs");
    if (fs.f_type == kProcMagic && !mount.destination.starts_with("/proc")) {
      return Fail(Errc::kInvalid, "the target leads into /proc");
    }
  }
  struct stat status{};
  if (fstat(target.get(), &status) < 0)
    return FailSys("fstat", mount.destination);
  struct stat top{};
  if (fstat(root, &top) < 0)
    return FailSys("fstat", "/");
  if (status.st_dev == top.st_dev && status.st_ino == top.st_ino) {
    // Stacked over the root it would be where ".." leads from there.
    return Fail(Errc::kInvalid, "a mount cannot cover the root file system");
  }
  if (S_ISDIR(status.st_mode) != (mount.kind == sys::CreateAs::kDirectory)) {
    return Fail(
        Errc::kInvalid,
        "not a directory: a directory can only be mounted on a directory, a file on a file");
  }
  if (mount.source) {
    UniqueFd covered = TRY(OpenAt(target.get(), ".", O_RDONLY | O_DIRECTORY));
    TRY_CTX("copy the image's content", CopyUp(covered.get(), mount.source.get()));
    mount.source.Reset();
  }
  TRY(sys::AttachMount(mount.tree.get(), target.get()));
  if (takes_mode)
    TRY(CopyMode(mount, status.st_mode));
  if (mount.options.bind && !sys::HasMountSetattr()) {
    int procfs = TRY(Procfs());
    TRY(ApplyAttributes(mount, procfs));
  } else if (!mount.options.bind && mount.options.attributes.propagation != 0) {
    sys::MountAttributes propagation;
    propagation.propagation = mount.options.attributes.propagation;
    TRY(sys::SetMountAttributes(mount.tree.get(), propagation, sys::Recursive::kNo));
  }
  return {};
}

Result<> MountPlan::Seal() {
  sys::MountAttributes read_only;
  read_only.set = MOUNT_ATTR_RDONLY;
  for (const PlannedMount& mount : mounts_) {
    uint64_t wanted = mount.options.attributes.set | mount.options.recursive_attributes.set;
    if (!IsTmpfs(mount) || (wanted & MOUNT_ATTR_RDONLY) == 0)
      continue;
    int procfs = sys::HasMountSetattr() ? -1 : TRY(Procfs());
    Result<> sealed =
        sys::SetMountAttributes(mount.tree.get(), read_only, sys::Recursive::kNo, procfs);
    if (!sealed)
      return MountFailure(std::move(sealed).error(), mount);
  }
  return {};
}

Result<int> MountPlan::Procfs() {
  if (own_procfs_)
    return own_procfs_.get();
  for (const PlannedMount& mount : mounts_) {
    if (mount.spec->type == "proc" && !mount.options.bind && mount.options.data.empty() &&
        (mount.options.attributes.set & MOUNT_ATTR_RDONLY) == 0) {
      return mount.tree.get();
    }
  }
  sys::FsContext context = TRY(sys::FsContext::Open("proc"));
  own_procfs_ = TRY(context.Mount(0));
  return own_procfs_.get();
}

int MountPlan::Devpts() const {
  for (const PlannedMount& mount : mounts_) {
    if (mount.spec->type == "devpts" && mount.destination == "/dev/pts" && !mount.options.bind)
      return mount.tree.get();
  }
  return -1;
}

bool MountPlan::DevIsBound() const {
  return std::ranges::any_of(
      mounts_, [](const PlannedMount& m) { return m.options.bind && m.destination == "/dev"; });
}

}  // namespace wherry::runtime
