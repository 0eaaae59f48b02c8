// What a container's cgroup is to systemd: the name of its scope, and properties of the unit
// (systemd.resource-control(5), org.freedesktop.systemd1(5)). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/runtime/cgroup_limits.h"
#include "core/sys/dbus_message.h"

namespace wherry::runtime {

struct ScopeName {
  std::string unit;   // "docker-0123.scope"
  std::string slice;  // "machine.slice"; "": the default one
};

// Of `linux.cgroupsPath` as callers write it for systemd, "slice:prefix:name", each part of which
// may be empty; without any, wherry-<id>.scope. kInvalid otherwise.
Result<ScopeName> ParseScopeName(const std::string& cgroups_path, const std::string& id);

struct UnitProperty {
  std::string name;
  std::string type;                // of its value: 't', 'b', 's', "as", "ay" or another number
  uint64_t number = 0;             // also a boolean
  std::vector<std::string> texts;  // one for 's' and, its bytes, "ay"

  void Write(sys::DbusWriter& out) const;
  bool operator==(const UnitProperty&) const = default;
};

// What systemd has to know of limits: it would undo those it has other values for when it next
// writes this cgroup's files. Each property once; there are none for files that systemd leaves
// alone. CPU quotas are rounded up to a hundredth of a CPU, as systemd keeps them. kInvalid for
// values of `unified` that are no numbers.
Result<std::vector<UnitProperty>> LimitProperties(std::span<const CgroupWrite> writes);

// The annotations org.systemd.property.NAME, whose values are GVariant text: true, 'text', "text",
// ['a', 'b'], 7 or "uint64 7". A number of a property NameSec is seconds, and becomes NameUSec.
// kInvalid naming the annotation.
Result<std::vector<UnitProperty>> AnnotatedProperties(
    const std::map<std::string, std::string>& annotations);

}  // namespace wherry::runtime
