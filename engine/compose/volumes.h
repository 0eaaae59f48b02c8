// Mounts of services: the short and the long form. Internal to engine/compose.
#pragma once

#include <string>

#include "engine/compose/group.h"
#include "engine/compose/value.h"

namespace wherry::compose {

// The path in the container that an entry of `volumes` or `devices` is for; "" when it has none.
std::string TargetOf(const Node& entry);

// PATH as it is meant in a file of `directory`: absolute, "~" as HOME. "" stays.
std::string ResolvePath(std::string_view directory, std::string_view home, std::string_view path);

// What a path in a file may refer to.
struct Surroundings {
  std::string directory;
  std::string home;
};
void ReadVolumes(const Value& value, const Surroundings& around, Service& service);

}  // namespace wherry::compose
