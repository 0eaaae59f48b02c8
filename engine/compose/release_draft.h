// A group's services as the apps of a release (docs/releases.md). Pure.
#pragma once

#include <span>
#include <string>

#include "core/base/json.h"
#include "core/base/result.h"
#include "engine/compose/group.h"

namespace wherry::compose {

// The release `base` (an object, or absent) with an app for each service, and the networks and
// volumes they use. What `base` says of an app, network or volume of that name goes over what the
// group says, member by member; its name is the group's when it has none. Images may be named by
// tag. kUnsupported for what is bound to the machine the files are on, or to the order of others.
Result<std::string> ReleaseDraft(const Group& group, std::span<const Service* const> services,
                                 JsonValue base);

}  // namespace wherry::compose
