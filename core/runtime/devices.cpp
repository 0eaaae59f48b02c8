#include "core/runtime/devices.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/capabilities.h"
#include "core/sys/mount.h"
#include "core/sys/mount_calls.h"
#include "core/sys/path.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

constexpr long kDevptsMagic = 0x1cd1;
constexpr unsigned int kPtySlaveMajor = 136;

constexpr int kCapMknod = 27;

struct NodeRow {
  const char* path;
  uint32_t major;
  uint32_t minor;
};
constexpr NodeRow kDefaultNodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

struct LinkRow {
  const char* name;
  const char* target;
};
constexpr LinkRow kLinks[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},      {"ptmx", "pts/ptmx"},
};

struct Place {
  UniqueFd dir;
  std::string name;
};

Result<Place> Locate(int root, const std::string& path) {
  std::string clean = sys::CleanPath(path);
  std::optional<Pair> parts = SplitLast(clean, '/');
  if (clean == "/" || !parts)
    return Fail(Errc::kInvalid, Cat("device path ", path, " is not a file"));
  Place place;
  place.name = std::string(parts->tail);
  place.dir = TRY(sys::OpenOrCreateInRoot(root, Cat(parts->head, "/"), sys::CreateAs::kDirectory));
  return place;
}

mode_t TypeBits(const oci::Device& device) {
  if (device.type == 'b')
    return S_IFBLK;
  return device.type == 'p' ? S_IFIFO : S_IFCHR;
}

// EEXIST is fine when what exists is that very device.
Result<> CheckExisting(const Place& place, const oci::Device& device) {
  struct stat status{};
  if (fstatat(place.dir.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0)
    return FailSys("fstatat", device.path);
  bool same_type = (status.st_mode & S_IFMT) == TypeBits(device);
  bool same_number = device.type == 'p' || status.st_rdev == makedev(device.major, device.minor);
  if (same_type && same_number)
    return {};
  return Fail(Errc::kExists, Cat("device ", device.path, " exists in the image as something else"));
}

// A new empty file to bind on; never through a link.
Result<UniqueFd> MakeBindTarget(const Place& place, const std::string& path) {
  if (mknodat(place.dir.get(), place.name.c_str(), S_IFREG | 0666, 0) < 0 && errno != EEXIST)
    return FailSys("mknod", path);
  UniqueFd target = TRY(OpenAt(place.dir.get(), place.name, O_PATH | O_NOFOLLOW));
  struct stat status{};
  if (fstat(target.get(), &status) < 0)
    return FailSys("fstat", path);
  if (S_ISLNK(status.st_mode))
    return Fail(Errc::kInvalid, Cat(path, " is a symbolic link"));
  return target;
}

// A detached mount of the host's node of the same name, if it is the device that is meant.
Result<UniqueFd> CloneHostNode(const oci::Device& device) {
  UniqueFd source = TRY(Open(device.path, O_PATH));
  struct stat status{};
  if (fstat(source.get(), &status) < 0)
    return FailSys("fstat", device.path);
  if ((status.st_mode & S_IFMT) != TypeBits(device) ||
      status.st_rdev != makedev(device.major, device.minor)) {
    return Fail(
        Errc::kDenied,
        Cat("device ", device.path,
            " cannot be made in a user namespace or without CAP_MKNOD, and is another device "
            "on the host"));
  }
  UniqueFd node = TRY(sys::CloneTree(source.get(), "", sys::Recursive::kNo));
  sys::MountAttributes restricted;
  restricted.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  if (sys::HasMountSetattr())
    TRY(sys::SetMountAttributes(node.get(), restricted, sys::Recursive::kNo));
  return node;
}

Result<> CreateNode(const Place& place, const oci::Device& device) {
  dev_t number = device.type == 'p' ? 0 : makedev(device.major, device.minor);
  if (mknodat(place.dir.get(), place.name.c_str(), TypeBits(device) | device.file_mode, number) <
      0) {
    if (errno == EEXIST)
      return CheckExisting(place, device);
    return FailSys("mknod", device.path);
  }
  if (device.uid == 0 && device.gid == 0)
    return {};
  if (fchownat(place.dir.get(), place.name.c_str(), device.uid, device.gid, AT_SYMLINK_NOFOLLOW) <
      0) {
    return FailSys("fchown", device.path);
  }
  return {};
}

bool Specified(const oci::RuntimeSpec& spec, std::string_view path) {
  for (const oci::Device& device : spec.devices) {
    if (device.path == path)
      return true;
  }
  return false;
}

}  // namespace

Result<DevicePlan> DevicePlan::Open(const oci::RuntimeSpec& spec) {
  DevicePlan plan;
  for (const NodeRow& row : kDefaultNodes) {
    if (Specified(spec, row.path))
      continue;
    Entry entry;
    entry.device.path = row.path;
    entry.device.major = row.major;
    entry.device.minor = row.minor;
    plan.entries_.push_back(std::move(entry));
  }
  for (const oci::Device& device : spec.devices)
    plan.entries_.push_back(Entry{device, UniqueFd()});
  CapabilitySet own = TRY(EffectiveCapabilities());
  bool has_right = (own & CapabilityBit(kCapMknod)) != 0 && !sys::InUserNamespace();
  bool may_make = has_right && spec.FindNamespace(oci::NamespaceType::kUser) == nullptr;
  if (may_make)
    return plan;
  bool has_maps = has_right && spec.MakesNamespace(oci::NamespaceType::kUser);
  if (has_maps && !spec.devices.empty())
    TRY(plan.MakeAside(spec));
  for (Entry& entry : plan.entries_) {
    if (entry.device.type != 'p' && !entry.host_node)
      entry.host_node = TRY(CloneHostNode(entry.device));
  }
  return plan;
}

// In a tmpfs that covers /dev for a moment and then is only kept by the mounts of its files.
Result<> DevicePlan::MakeAside(const oci::RuntimeSpec& spec) {
  sys::FsContext context = TRY(sys::FsContext::Open("tmpfs"));
  UniqueFd tree = TRY(context.Mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  UniqueFd place = TRY(wherry::Open("/dev", O_PATH | O_DIRECTORY));
  TRY(sys::AttachMount(tree.get(), place.get()));
  umask(0);
  for (size_t i = entries_.size() - spec.devices.size(); i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    oci::Device device = entry.device;
    if (device.type == 'p')
      continue;
    std::optional<uint32_t> uid = OutsideId(spec.uid_mappings, device.uid);
    std::optional<uint32_t> gid = OutsideId(spec.gid_mappings, device.gid);
    if (!uid || !gid) {
      return Fail(Errc::kInvalid, Cat("device ", device.path,
                                      " has an owner that linux.uidMappings and gidMappings "
                                      "do not have"));
    }
    device.uid = *uid;
    device.gid = *gid;
    Place aside;
    aside.dir = TRY(OpenAt(tree.get(), ".", O_PATH | O_DIRECTORY));
    aside.name = Cat(i);
    TRY(CreateNode(aside, device));
    UniqueFd node = TRY(OpenAt(aside.dir.get(), aside.name, O_PATH | O_NOFOLLOW));
    entry.host_node = TRY(sys::CloneTree(node.get(), "", sys::Recursive::kNo));
  }
  return sys::DetachMount(tree.get());
}

Result<> DevicePlan::Create(int root) {
  std::string last_dir;
  Place place;
  for (const Entry& entry : entries_) {
    std::string clean = sys::CleanPath(entry.device.path);
    std::optional<Pair> parts = SplitLast(clean, '/');
    if (!place.dir || !parts || parts->head != last_dir)
      place = TRY(Locate(root, entry.device.path));
    else
      place.name = std::string(parts->tail);
    last_dir = std::string(parts ? parts->head : "");
    if (entry.host_node) {
      UniqueFd target = TRY(MakeBindTarget(place, entry.device.path));
      TRY(sys::AttachMount(entry.host_node.get(), target.get()));
    } else {
      TRY(CreateNode(place, entry.device));
    }
  }
  Place dev = TRY(Locate(root, "/dev/null"));
  for (const LinkRow& row : kLinks) {
    if (symlinkat(row.target, dev.dir.get(), row.name) < 0 && errno != EEXIST) {
      return FailSys("symlink", Cat("/dev/", row.name));
    }
  }
  return {};
}

bool IsNullDevice(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

Result<UniqueFd> OpenContainerNull(int root) {
  UniqueFd found = TRY(sys::OpenInRoot(root, "/dev/null", O_PATH));
  if (!IsNullDevice(found.get()))
    return Fail(Errc::kInvalid, "/dev/null in the container is not the null device");
  UniqueFd fd = TRY(sys::OpenInRoot(root, "/dev/null", O_RDWR | O_NOCTTY));
  if (!IsNullDevice(fd.get()))
    return Fail(Errc::kInvalid, "/dev/null in the container is not the null device");
  return fd;
}

Result<Console> OpenConsole(int devpts, const oci::ConsoleSize& size) {
  if (devpts < 0)
    return Fail(Errc::kInvalid, "a terminal needs a devpts mount on /dev/pts");
  Console console;
  console.master = TRY(OpenAt(devpts, "ptmx", O_RDWR | O_NOCTTY));
  int unlocked = 0;
  if (ioctl(console.master.get(), TIOCSPTLCK, &unlocked) < 0)
    return FailSys("ioctl", "unlock terminal");
  console.slave.Reset(ioctl(console.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!console.slave)
    return FailSys("ioctl", "open terminal");
  struct stat status{};
  struct statfs fs{};
  if (fstat(console.slave.get(), &status) < 0 || fstatfs(console.slave.get(), &fs) < 0)
    return FailSys("fstat", "terminal");
  if (fs.f_type != kDevptsMagic || major(status.st_rdev) != kPtySlaveMajor) {
    return Fail(Errc::kInternal, "the new terminal is not a pty");
  }
  if (size.height != 0 || size.width != 0) {
    struct winsize window{};
    window.ws_row = size.height;
    window.ws_col = size.width;
    (void)ioctl(console.slave.get(), TIOCSWINSZ, &window);
  }
  return console;
}

Result<> BindConsole(int root, int slave) {
  Place place = TRY(Locate(root, "/dev/console"));
  UniqueFd target = TRY(MakeBindTarget(place, "/dev/console"));
  UniqueFd tree = TRY(sys::CloneTree(slave, "", sys::Recursive::kNo));
  return sys::AttachMount(tree.get(), target.get());
}

}  // namespace wherry::runtime
