// Mounts by descriptor (the mount API of Linux 5.2 and mount_setattr of 5.12): detached trees, file
// system contexts, attaching, attributes, propagation. Nothing here follows a path twice: callers
// resolve once (core/sys/path.h) and act on the descriptor. Works on the calling thread's mount
// namespace. Errors carry errno; ENOSYS means the kernel is too old.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::sys {

enum class Recursive : uint8_t { kNo, kYes };

// A detached copy of the mount that `path` (below `dir`; empty: `dir` itself) lies on, rooted
// there: the source of a bind mount. Closing the descriptor before it was attached dissolves the
// copy.
Result<UniqueFd> CloneTree(int dir, const std::string& path, Recursive recursive);

// A new instance of a file system: Open, Set..., Mount. The kernel's own explanation is part of the
// errors.
class FsContext {
 public:
  static Result<FsContext> Open(const std::string& type);

  // One mount option. The kernel refuses a value of 256 bytes or more.
  Result<> SetFlag(const std::string& key);
  Result<> SetString(const std::string& key, const std::string& value);
  // "size=64k,ro" style options: a word with '=' is a string, others are flags.
  Result<> SetOption(std::string_view option);

  // Creates the superblock and a detached mount of it. `attributes`: MOUNT_ATTR_* of
  // core/sys/mount_calls.h.
  Result<UniqueFd> Mount(uint64_t attributes);

 private:
  FsContext(UniqueFd fd, std::string type) : fd_(std::move(fd)), type_(std::move(type)) {}
  std::unexpected<Error> Failure(std::string_view call, std::string_view object) const;

  UniqueFd fd_;
  std::string type_;
};

// Attaches the detached mount `mount_fd` on the file or directory behind `target_fd`.
Result<> AttachMount(int mount_fd, int target_fd);

// Flags to set and to clear (MOUNT_ATTR_*) and, when not 0, the propagation type (MS_PRIVATE,
// MS_SLAVE, MS_SHARED, MS_UNBINDABLE).
struct MountAttributes {
  uint64_t set = 0;
  uint64_t clear = 0;
  uint64_t propagation = 0;

  bool empty() const { return set == 0 && clear == 0 && propagation == 0; }
};

// Changes the mount whose root `fd` is. On kernels without mount_setattr (5.10, 5.11) only an
// attached mount can be changed, and `proc_fd` (root of a procfs) is needed; kUnsupported
// otherwise.
Result<> SetMountAttributes(int fd, const MountAttributes& attributes, Recursive recursive,
                            int proc_fd = -1);

// Shows the owners of files through the detached mount `fd` as the user namespace `user_namespace`
// has them outside: what belongs to 0 on disk belongs to the namespace's root. kUnsupported naming
// the remedy where the kernel or the file system cannot.
Result<> MapMountIds(int fd, int user_namespace, Recursive recursive);

// Whether this kernel has mount_setattr.
bool HasMountSetattr();

// Makes the whole mount tree of the calling process private, so that nothing propagates from or to
// another namespace.
Result<> MakeAllPrivate();

// Gives the calling thread a mount namespace of its own in which everything is private; it ends
// with the thread.
Result<> EnterPrivateMountNamespace();

// Takes the attached mount whose root is `root_fd` out of the tree; it lives as long as somebody
// has something in it open. The working directory is the root then.
Result<> DetachMount(int root_fd);

// Makes the mount whose root is `root_fd` the root of this mount namespace and of the process, and
// detaches the old root with all mounts below it. At once: while the old root lies stacked over the
// new one, ".." in the new root leads into it, even under RESOLVE_IN_ROOT. The working directory is
// the new root.
Result<> PivotRoot(int root_fd);
// For a root that pivot_root cannot leave, an initramfs: the mount `root_fd` is moved over it. The
// other mounts are detached but for those that hold the new root; the old root stays below, out of
// reach but for who may use chroot again. REQUIRES: a private mount namespace, /proc.
Result<> MoveRoot(int root_fd);

// A detached, read-only mount of the EROFS image in a file: of the file itself where the kernel can
// (6.12), through a loop device otherwise, which goes away with the mount.
Result<UniqueFd> MountErofsImage(const std::string& path);

// Where files are that have only their metadata in an image.
struct MetadataImage {
  int mount = -1;                      // by MountErofsImage, not yet attached; not owned
  std::vector<std::string> data_dirs;  // what the image's redirects begin at; the first that has it
  bool data_only = true;               // as data-only layers (Linux 6.5), else as ordinary ones
};

// A writable union of directories, or of a directory and an image. Paths are opened before the call
// is made, so the names the kernel records (and shows inside the container) reveal nothing of the
// host. Renamed directories and changed metadata need no copies: "redirect_dir", "metacopy".
struct OverlayOptions {
  std::vector<std::string> lower;      // topmost first, at most 500; at least one without an image
  std::optional<MetadataImage> image;  // below them
  std::string upper;                   // empty together with `work`: a read-only union
  std::string work;
  bool is_volatile =
      false;  // no write-back on sync: for containers whose changes need not survive a power cut
};

// Mounts the overlay on `target_fd` (an image below it first) and returns the root of the new
// mount. By fsconfig(lowerdir+) where the kernel has it (6.7), by mount(2) otherwise. Uses
// /proc/self/fd of the calling process; changes the working directory. With a `user_namespace`
// (borrowed) the union shows owners as MapMountIds does, and what is written to `upper` gets those
// it has inside: `upper` and `work` lie in one directory then.
Result<UniqueFd> MountOverlay(const OverlayOptions& options, int target_fd,
                              int user_namespace = -1);

// Only for tests: behave as a kernel without "lowerdir+" or mount_setattr.
void PretendOldMountApi(bool old);

}  // namespace wherry::sys
