// The operations whose order makes the store safe against power cuts. Everything that changes what
// is visible after a restart goes through here, so that tests can record the order, and fail or
// stop at any step. No state: thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::store {

class DiskOps {
 public:
  virtual ~DiskOps() = default;

  // A new or emptied file, for writing. Nothing of the following is durable before a sync.
  virtual Result<UniqueFd> Create(int dir, const std::string& name, uint32_t mode);
  // All of `bytes` at `offset` of an open file.
  virtual Result<> Write(int fd, std::span<const std::byte> bytes, uint64_t offset);
  // There already is success.
  virtual Result<> MakeDir(int dir, const std::string& name);
  // Replaces what has the name `to`.
  virtual Result<> Rename(int from_dir, const std::string& from, int to_dir, const std::string& to);
  // Renames without replacing. False: the target exists.
  virtual Result<bool> RenameNew(int from_dir, const std::string& from, int to_dir,
                                 const std::string& to);
  // Another name for a file.
  virtual Result<> Link(int from_dir, const std::string& from, int to_dir, const std::string& to);
  // Absent is success.
  virtual Result<> RemoveFile(int dir, const std::string& name);
  virtual Result<> RemoveTree(int dir, const std::string& name);

  // Gives a file fs-verity: from here on its content cannot change, and reading what has changed on
  // the medium is an error. Nobody may have it open for writing; a file that somebody has stays as
  // it is.
  virtual Result<> Seal(int dir, const std::string& name);

  // Writes everything of the file system back. `fd` must have been opened before the writes: only
  // then are their errors reported here (Linux 5.8).
  virtual Result<> SyncFileSystem(int fd);
  // Makes names in an open directory durable.
  virtual Result<> SyncDirectory(int dir, std::string_view name);
  // Durable when it returns: temporary file, fsync, rename, fsync of the directory.
  virtual Result<> ReplaceFile(int dir, const std::string& name, std::string_view content);

  static DiskOps& Real();
};

}  // namespace wherry::store
