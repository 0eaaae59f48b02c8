// Root file systems as the engine looks into them: of an image, with the changes of a container, or
// with an upper directory to write to. Mounted in a mount namespace of its own, so nobody sees it,
// and gone with the last descriptor. Needs root. Thread-safe, no state. Blocking: workers.
#pragma once

#include <functional>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/overlay_changes.h"
#include "store/store.h"

namespace wherry::engine {

// Called with a root in the namespace it is mounted in, to mount more below it. What is mounted is
// there for as long as the descriptor that the caller gets is open.
using MountInside = std::move_only_function<Result<>(int root)>;

// Read-only; what `inside` makes for its mounts is in memory. `mount_on` is any directory: nothing
// becomes visible there.
Result<UniqueFd> OpenRoot(const store::RootFs& root, const std::string& mount_on,
                          MountInside inside = {});

// What is written goes to `upper`.
struct UpperDirectory {
  std::string upper;
  std::string work;
  bool is_volatile = true;  // it survives no power cut
};
Result<UniqueFd> OpenRoot(const store::RootFs& root, const UpperDirectory& upper,
                          const std::string& mount_on, MountInside inside = {});

// What a container has, running or not; without `inside` nothing of what is mounted in it.
// Read-only as the first.
Result<UniqueFd> OpenMerged(const store::RootFs& root, const std::string& upper,
                            const std::string& mount_on, MountInside inside = {});

// To compare an image with an upper directory above it, which is only read.
Result<store::OverlayViews> OpenChanges(const store::RootFs& root, const std::string& upper,
                                        const std::string& mount_on);

// An upper directory without changes: owner and mode of the image's "/". There already is success.
Result<> MakeUpper(const std::string& upper, const store::RootFs& root);

}  // namespace wherry::engine
