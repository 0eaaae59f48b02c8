// Which extended attributes of an image reach the disk: capabilities, user.*, POSIX ACLs. Never
// trusted.* (overlayfs believes them: an image could redirect into other files), user.overlay.* for
// the same reason, nor labels of the build machine.
#pragma once

#include <vector>

#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::store {

// Sets those of `xattrs` that are allowed on an open file or directory. kInvalid for capabilities
// the kernel refuses. ACLs that are malformed, and user.* and ACLs on a file system without them,
// are left out.
Result<> SetXattrs(int fd, const std::vector<TarXattr>& xattrs);

// Those of `xattrs` that are allowed, as a file system would hold them. kInvalid for capabilities
// the kernel would refuse.
Result<std::vector<TarXattr>> KeptXattrs(const std::vector<TarXattr>& xattrs);

// What of the allowed attributes an open file or directory has, by name.
Result<std::vector<TarXattr>> ReadXattrs(int fd);

// Whether what of the allowed attributes an open file has is just `xattrs`.
bool HasXattrs(int fd, const std::vector<TarXattr>& xattrs);

// Marks an open directory so that overlayfs shows nothing of the layers below in it.
Result<> MakeOpaque(int dir);
bool IsOpaque(int dir);
// Whether overlayfs shows what the layers below have under another name in it: a directory that was
// renamed.
bool IsRedirected(int dir);

// Makes those of `to` what `from` has, the opaque mark of directories included.
Result<> CopyXattrs(int from, int to);

// Removes what an earlier entry of the same name has set. What overlayfs needs stays.
Result<> ClearXattrs(int fd);

}  // namespace wherry::store
