// Puts the entries of one layer into a fresh directory tree, as overlayfs wants them: whiteouts
// become 0/0 character devices, opaque markers the xattr trusted.overlay.opaque. Only through
// descriptors; nothing is ever created, changed or followed outside of the tree, whatever the
// entries say. No fsync: the caller writes the whole tree back before it gets its name.
//
// Meaning of what archives leave open (docs/store.md):
// - the last of several entries with one name wins; directories merge; a file replaces a directory
// with all that is in it;
// - a missing parent is made with mode 0755, owner 0:0 and the entry's time;
// - a hard link must name something in the same layer, as in Docker and containerd, which unpack
// into one directory too;
// - the times of directories are those of their entries, whatever is created in them later.
// Not thread-safe; needs root. REQUIRES: nobody else can enter the tree.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/layer_path.h"
#include "store/store.h"
#include "store/tar_entry.h"
#include "store/tar_reader.h"

namespace wherry::store {

class LayerWriter {
 public:
  struct Options {
    uint64_t max_bytes = 0;      // sum of the sizes of all files
    uint64_t reserve_bytes = 0;  // left free on the file system
  };

  // `root`: O_RDONLY descriptor of an empty directory. It gets mode 0755, owner 0:0 and time 0
  // until the archive says otherwise.
  static Result<LayerWriter> Create(UniqueFd root, const Options& options);

  // Creates what `entry` says, with the content from `reader`, telling `progress` in between.
  // kInvalid: refused entries; kNoSpace; kCancelled; system errors. Messages do not name the entry.
  // After an error the tree is of no use.
  Result<> Add(const TarEntry& entry, TarReader& reader, IngestProgress& progress);

  // Sets what has to wait for the end. Nothing can be added afterwards.
  Result<> Finish();

  uint64_t size_bytes() const { return size_bytes_; }  // of all files, holes included

 private:
  LayerWriter(UniqueFd root, const Options& options) : root_(std::move(root)), options_(options) {}

  Result<int> Enter(const std::string& directory, TarTime mtime);
  Result<> Leave();
  Result<> AddRoot(const TarEntry& entry);
  Result<> AddDirectory(const LayerPath& path, const TarEntry& entry);
  Result<> AddFile(const LayerPath& path, const TarEntry& entry, TarReader& reader,
                   IngestProgress& progress);
  Result<> CopyContent(int fd, const TarEntry& entry, TarReader& reader, IngestProgress& progress);
  Result<> AddSymlink(const LayerPath& path, const TarEntry& entry);
  Result<> AddHardlink(const LayerPath& path, const TarEntry& entry);
  Result<> AddSpecial(const LayerPath& path, const TarEntry& entry);
  Result<> AddWhiteout(const LayerPath& path, TarTime mtime);
  Result<> AddOpaque(const LayerPath& path, TarTime mtime);
  Result<> SetMetadataByName(int dir, const std::string& name, const TarEntry& entry);
  Result<> ClearName(int dir, const std::string& name);
  Result<> Account(const TarEntry& entry);
  Result<> CheckSpace(uint64_t more);

  UniqueFd root_;
  Options options_;

  // The directory worked in, kept open from entry to entry. Its time of modification is restored
  // when it is left.
  UniqueFd current_;
  std::string current_path_;
  timespec current_mtime_{};

  uint64_t size_bytes_ = 0;
  uint64_t written_bytes_ = 0;    // what progress is told
  uint64_t unchecked_bytes_ = 0;  // written since the free space was last looked at
};

}  // namespace wherry::store
