// A directory tree, or a single file of it, told entry by entry, directories before what is in
// them, names in order: what ChangeArchive makes an archive of. Hostile content that may change
// meanwhile; everything is reached by descriptor, no link is followed. What is mounted in the tree
// belongs to it, but for the content of the kernel's own file systems (/proc, /sys). Sockets are
// left out. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/id_map.h"
#include "core/base/result.h"
#include "store/overlay_changes.h"

namespace wherry::store {

class TreeEntries final : public ChangeSource {
 public:
  // `node` of `directory` ("." for itself) under the name `path`, which may be "/" for the root of
  // names that begin with a slash, or empty
  // for the root of names that do not.
  // With `ids`, of a tree in another user namespace, owners are told as they are inside. `held` is
  // open for as long: what the tree is mounted by.
  TreeEntries(UniqueFd directory, std::string node, std::string path,
              std::optional<IdMaps> ids = {}, UniqueFd held = {})
      : directory_(std::move(directory)),
        node_(std::move(node)),
        path_(std::move(path)),
        ids_(std::move(ids)),
        held_(std::move(held)) {}

  // kInvalid: nested deeper than a layer may be.
  Result<std::optional<OverlayChange>> Next() override;

 private:
  struct Frame {
    UniqueFd directory;
    uint64_t device = 0;
    std::string path;  // with a slash at its end
    std::vector<std::string> names;
    size_t next = 0;
  };
  Result<> Enter(const OverlayChange& change, uint64_t device_above);

  UniqueFd directory_;
  const std::string node_;
  const std::string path_;
  const std::optional<IdMaps> ids_;
  UniqueFd held_;
  bool begun_ = false;
  std::vector<Frame> frames_;
};

}  // namespace wherry::store
