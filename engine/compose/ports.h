// Published ports, as `--publish` and compose files give them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/compose/group.h"
#include "engine/compose/value.h"

namespace wherry::compose {

// [ADDRESS:][HOST:]PORT[/PROTOCOL]: a range for each PORT for a port. kInvalid naming the word.
Result<std::vector<Port>> ParsePorts(std::string_view word);

// `ports:` and `expose:` of a service.
void ReadPorts(const Value& value, Service& service);
void ReadExpose(const Value& value, Service& service);

}  // namespace wherry::compose
