// Volumes and binds in a root file system that is looked at while its container does not run, where
// and as its start mounts them. Not what it has in memory (tmpfs). Worker.
#pragma once

#include "core/base/result.h"
#include "engine/container_config.h"
#include "engine/root_view.h"

namespace wherry::engine {

// To be written to: volumes with `fill` get the image's content first. A root that is read-only for
// the container is so here. `config` is borrowed.
MountInside VolumesToWrite(const ContainerConfig& config);
// To be read: at the place of a volume that waits to be filled is what it will be filled with.
MountInside VolumesToRead(const ContainerConfig& config);

}  // namespace wherry::engine
