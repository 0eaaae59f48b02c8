#include "engine/lost_cgroup.h"

#include "core/runtime/cgroup.h"
#include "core/sys/cgroup.h"

namespace wherry::engine {

Result<bool> RemoveLostCgroup(const std::string& path) {
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  auto group = runtime::Cgroup::Open(host, path);
  if (!group && group.error().code() == Errc::kNotFound)
    return false;
  if (!group)
    return std::unexpected(std::move(group).error());
  auto populated = sys::ReadCgroupKey(group->fd(), "cgroup.events", "populated");
  TRY(group->Remove());
  return populated && *populated == 1;
}

}  // namespace wherry::engine
