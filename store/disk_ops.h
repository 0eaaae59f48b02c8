// The operations whose order makes the store safe against power cuts. Everything that changes what
// is visible after a restart goes through here, so that tests can record the order, and fail or
// stop at any step. No state: thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::store {

class DiskOps {
 public:
  virtual ~DiskOps() = default;

  // Writes everything of the file system back. `fd` must have been opened before the writes: only
  // then are their errors reported here (Linux 5.8).
  virtual Result<> SyncFileSystem(int fd);
  // Makes names in an open directory durable.
  virtual Result<> SyncDirectory(int dir, std::string_view name);
  // Renames without replacing. False: the target exists.
  virtual Result<bool> RenameNew(int from_dir, const std::string& from, int to_dir,
                                 const std::string& to);
  // Durable when it returns: temporary file, fsync, rename, fsync of the directory.
  virtual Result<> ReplaceFile(int dir, const std::string& name, std::string_view content);
  // Absent is success. Not durable before SyncDirectory.
  virtual Result<> RemoveFile(int dir, const std::string& name);

  static DiskOps& Real();
};

}  // namespace wherry::store
