#include "core/sys/remount.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount_calls.h"

namespace wherry::sys {

namespace {

constexpr size_t kMaxMountinfo = size_t{16} << 20;

struct AttributeFlag {
  uint64_t attribute;  // MOUNT_ATTR_*
  unsigned long flag;  // MS_*
};

// ST_* of statvfs have the values of MS_* for these.
constexpr AttributeFlag kAttributeFlags[] = {
    {MOUNT_ATTR_RDONLY, MS_RDONLY},   {MOUNT_ATTR_NOSUID, MS_NOSUID},
    {MOUNT_ATTR_NODEV, MS_NODEV},     {MOUNT_ATTR_NOEXEC, MS_NOEXEC},
    {MOUNT_ATTR_NOATIME, MS_NOATIME}, {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME},
};

// REQUIRES: the working directory is the root of a procfs.
Result<> RemountFlags(int fd, const MountAttributes& attributes) {
  struct statvfs now{};
  if (fstatvfs(fd, &now) < 0)
    return FailSys("fstatvfs");
  unsigned long flags =
      now.f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME);
  for (const AttributeFlag& row : kAttributeFlags) {
    if ((attributes.clear & row.attribute) != 0)
      flags &= ~row.flag;
    if ((attributes.set & row.attribute) != 0)
      flags |= row.flag;
  }
  std::string path = Cat("self/fd/", fd);
  if (mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) < 0)
    return FailSys("mount", "remount");
  return {};
}

// The mount an open descriptor is on, as the first column of mountinfo has it.
Result<uint64_t> MountId(int fd, int proc_fd) {
  std::string text = TRY(ReadFileAt(proc_fd, Cat("self/fdinfo/", fd)));
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with("mnt_id:"))
      return ParseUint(Trim(line.substr(7)));
  }
  return Fail(Errc::kUnsupported, "the kernel does not tell which mount a descriptor is on");
}

// "\040" is a blank, in octal, as are all characters that would end the field.
std::string Unescape(std::string_view field) {
  std::string text;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                (field[i + 3] - '0'));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

struct MountBelow {
  uint64_t id;
  std::string point;
};

// All mounts below the mount `top`; parents come before their children in mountinfo only if they
// were mounted before, so it is read until nothing is new.
Result<std::vector<MountBelow>> MountsBelow(uint64_t top, int proc_fd) {
  std::string text = TRY(ReadFileAt(proc_fd, "self/mountinfo", kMaxMountinfo));
  std::vector<MountBelow> found;
  auto is_known = [&](uint64_t id) {
    return id == top || std::ranges::find(found, id, &MountBelow::id) != found.end();
  };
  for (size_t before = SIZE_MAX; before != found.size();) {
    before = found.size();
    for (std::string_view line : Split(text, '\n')) {
      std::vector<std::string_view> fields = Split(line, ' ');
      if (fields.size() < 5)
        continue;
      uint64_t id = TRY(ParseUint(fields[0]));
      uint64_t parent = TRY(ParseUint(fields[1]));
      if (is_known(parent) && !is_known(id))
        found.push_back({id, Unescape(fields[4])});
    }
  }
  return found;
}

Result<> RemountBelow(int fd, const MountAttributes& attributes, int proc_fd) {
  uint64_t top = TRY(MountId(fd, proc_fd));
  std::vector<MountBelow> below = TRY(MountsBelow(top, proc_fd));
  for (const MountBelow& entry : below) {
    UniqueFd root = TRY(Open(entry.point, O_PATH | O_NOFOLLOW));
    uint64_t id = TRY(MountId(root.get(), proc_fd));
    // Under another mount it cannot be reached; anything else has moved meanwhile.
    if (std::ranges::find(below, id, &MountBelow::id) == below.end())
      return Fail(Errc::kBusy, Cat("the mounts at ", entry.point, " change; try again"));
    TRY(RemountFlags(root.get(), attributes));
  }
  return {};
}

}  // namespace

Result<> Remount(int fd, const MountAttributes& attributes, Recursive recursive, int proc_fd) {
  if ((attributes.set & (MOUNT_ATTR_STRICTATIME | MOUNT_ATTR_NOSYMFOLLOW)) != 0) {
    return Fail(Errc::kUnsupported, "mount options strictatime and nosymfollow need Linux 5.12");
  }
  if (fchdir(proc_fd) < 0)
    return FailSys("fchdir", "procfs");
  if (attributes.set != 0 || attributes.clear != 0) {
    TRY(RemountFlags(fd, attributes));
    if (recursive == Recursive::kYes)
      TRY(RemountBelow(fd, attributes, proc_fd));
  }
  if (attributes.propagation != 0) {
    auto type = static_cast<unsigned long>(attributes.propagation);
    if (recursive == Recursive::kYes)
      type |= MS_REC;
    if (mount(nullptr, Cat("self/fd/", fd).c_str(), nullptr, type, nullptr) < 0)
      return FailSys("mount", "propagation");
  }
  return {};
}

}  // namespace wherry::sys
