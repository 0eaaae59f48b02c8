// Directories inside a layer's tree, found as if its root were "/" (core/sys/path.h): symbolic
// links in the way are followed but never lead outside. Thread-safe as long as nobody else changes
// the tree.
#pragma once

#include <time.h>

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::store {

// The directory `path` (relative; "" is the root) below `root`, O_RDONLY. What is missing is made:
// mode 0755, owner 0:0, time `mtime`; the times of the directories it is made in stay. A whiteout
// in the way becomes an opaque directory. kInvalid when something else in the way is no directory
// or the links do not end.
Result<UniqueFd> OpenOrMakeDir(int root, const std::string& path, TarTime mtime);

// Marks an open directory so that overlayfs shows nothing of the layers below in it.
Result<> MakeOpaque(int dir);
bool IsOpaque(int dir);

timespec ToTimespec(TarTime time);

}  // namespace wherry::store
