// What `events` says of a container's use of the machine, in the shape of `runc events`.
#pragma once

#include <string>

#include "core/runtime/cgroup.h"

namespace wherry::oci_runtime {

// {"type":"stats","id":ID,"data":{"cpu":{...},"memory":{...},"pids":{...},"blkio":{...},"hugetlb":{...}}}
// Times are nanoseconds, sizes bytes. Controllers the cgroup does not have are zeros, and what only
// some kernels have ("psi", "raw", "hugetlb") is left out or empty.
std::string StatsJson(const std::string& id, const runtime::Cgroup& cgroup);

}  // namespace wherry::oci_runtime
