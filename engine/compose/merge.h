// Several compose files as one, by the rules of docker compose. Internal to engine/compose.
#pragma once

#include "engine/compose/node.h"

namespace wherry::compose {

// Lays `over` over `base`: maps are merged, lists appended without what is there already, other
// values replaced; commands are replaced whole, environments merged by name, volumes by target;
// !reset removes, !override replaces.
void MergeFile(Node& base, Node over);

// Removes what the tags !reset mark in a file that is alone.
void DropResets(Node& node);

}  // namespace wherry::compose
