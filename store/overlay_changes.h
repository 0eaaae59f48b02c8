// What a container has changed: the upper directory of an overlay, told entry by entry in a fixed
// order, directories before what is in them. The upper directory has only part of it (a file whose
// owner changed has no content there, a renamed directory nothing of what it had), so contents and
// metadata are those of the merged tree. Hostile content; everything is reached by descriptor, no
// link is followed. Not thread-safe; memory: the names of the directories on the way.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::store {

struct OverlayViews {
  UniqueFd upper;   // the directory itself, not through overlayfs
  UniqueFd merged;  // what the container sees
  UniqueFd base;    // what its image has
};

enum class ChangeKind : uint8_t { kModified = 0, kAdded = 1, kDeleted = 2 };  // as Docker's API

struct OverlayChange {
  ChangeKind kind = ChangeKind::kModified;
  std::string path;  // "etc/passwd"; empty: the root
  // The directory that has it in the merged tree, and its name there. Valid until the next call.
  int directory = -1;
  std::string name;
  struct stat info{};  // nothing of what was deleted
  // Files of the same upper inode are one file with several names. Nothing: it has one name.
  std::optional<std::pair<uint64_t, uint64_t>> links = {};
};

// Tells entries one after the other. Not thread-safe.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;
  // Nothing at the end.
  virtual Result<std::optional<OverlayChange>> Next() = 0;
};

class OverlayChanges final : public ChangeSource {
 public:
  // `mount_points`: paths where the runtime mounted something ("etc/hosts"). What it had to make
  // for that, empty files and directories the image does not have, is no change.
  OverlayChanges(OverlayViews views, std::vector<std::string> mount_points);

  // Nothing at the end. A directory whose content alone has changed is told only when something in
  // it is told, and then with the kind kModified. Sockets are left out. kInvalid: nested deeper
  // than a layer may be; kConflict: the container changed it meanwhile.
  Result<std::optional<OverlayChange>> Next() override;

 private:
  struct Names {
    std::vector<std::string> list;  // sorted
    size_t next = 0;
  };
  struct Frame {
    UniqueFd upper;  // may be empty below a renamed directory
    UniqueFd merged;
    UniqueFd base;  // empty: the image has no such directory
    bool whole;     // the upper directory does not tell what is in the merged one
    std::string path;
    Names names;
    // Told when the first entry in it is.
    std::optional<OverlayChange> pending = {};
  };

  Result<> Begin();
  Result<> Visit(Frame& frame, const std::string& name);
  Result<> Enter(Frame& frame, OverlayChange change, bool in_base);
  Result<Names> ListNames(const Frame& frame) const;
  bool IsMountPoint(std::string_view path, bool directory) const;
  void Tell(OverlayChange change);

  OverlayViews views_;
  const std::vector<std::string> mount_points_;
  bool begun_ = false;
  std::vector<Frame> frames_;
  std::vector<OverlayChange> told_;  // not yet given out, in reverse order
};

}  // namespace wherry::store
