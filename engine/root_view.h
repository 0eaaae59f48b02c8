// Root file systems as the engine looks into them: of an image, with the changes of a container, or
// with an upper directory to write to. Mounted in a mount namespace of its own, so nobody sees it,
// and gone with the last descriptor. Needs root. Thread-safe, no state. Blocking: workers.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/overlay_changes.h"
#include "store/store.h"

namespace wherry::engine {

// Read-only. `mount_on` is any directory: nothing becomes visible there.
Result<UniqueFd> OpenRoot(const store::RootFs& root, const std::string& mount_on);

// What is written goes to `upper`.
struct UpperDirectory {
  std::string upper;
  std::string work;
  bool is_volatile = true;  // it survives no power cut
};
Result<UniqueFd> OpenRoot(const store::RootFs& root, const UpperDirectory& upper,
                          const std::string& mount_on);

// What a container has, running or not, without what is mounted in it. Read-only.
Result<UniqueFd> OpenMerged(const store::RootFs& root, const std::string& upper,
                            const std::string& mount_on);

// To compare an image with an upper directory above it, which is only read.
Result<store::OverlayViews> OpenChanges(const store::RootFs& root, const std::string& upper,
                                        const std::string& mount_on);

// An upper directory without changes: owner and mode of the image's "/". There already is success.
Result<> MakeUpper(const std::string& upper, const store::RootFs& root);

}  // namespace wherry::engine
