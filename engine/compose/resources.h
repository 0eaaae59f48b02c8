// The networks and volumes of a compose file. Internal to engine/compose.
#pragma once

#include "engine/compose/group.h"
#include "engine/compose/value.h"

namespace wherry::compose {

void ReadTopNetworks(const Value& value, Group& group);
void ReadTopVolumes(const Value& value, Group& group);

}  // namespace wherry::compose
