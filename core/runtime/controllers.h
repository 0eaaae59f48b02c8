// Why a kernel offers a controller of cgroup v2 or not: what a message can name a remedy for.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/sys/cgroup.h"

namespace wherry::runtime {

enum class Controller : uint8_t {
  kOffered,  // by the root of the hierarchy
  kOff,      // switched off at boot: cgroup_disable=
  kOnV1,     // bound to a hierarchy of cgroup v1
  kAbsent,   // not in this kernel
};

// `name` as in cgroup.controllers: "memory".
Controller AskController(const sys::CgroupHost& host, std::string_view name);

// The option the kernel has to be built with, "CONFIG_MEMCG"; empty for a name wherry does not use.
std::string_view ControllerOption(std::string_view name);

}  // namespace wherry::runtime
