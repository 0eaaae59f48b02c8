#include "core/oci_runtime/cgroups.h"

#include "core/base/text.h"
#include "core/runtime/cgroup_limits.h"

namespace wherry::oci_runtime {

Result<> TellLimits(runtime::Systemd& systemd, const std::string& unit,
                    const runtime::Cgroup& cgroup, const oci::LinuxResources& resources) {
  std::vector<runtime::CgroupWrite> writes = TRY(cgroup.Writes(resources));
  std::vector<runtime::UnitProperty> properties = TRY(runtime::LimitProperties(writes));
  return systemd.SetProperties(unit, properties);
}

namespace {

// systemd learns that a scope is over from a cgroup that is empty, not from one that is not there.
Result<> RemoveScope(const std::string& unit, Result<runtime::Cgroup>& cgroup) {
  if (cgroup)
    (void)cgroup->Clear();  // fails when systemd was quicker
  runtime::Systemd systemd = TRY(runtime::Systemd::Connect());
  return systemd.StopUnit(unit);
}

}  // namespace

Result<> RemoveCgroup(const Globals& globals, const State& state) {
  Result<runtime::Cgroup> cgroup = OpenCgroup(state);
  Result<> stopped = state.unit.empty() ? Result<>() : RemoveScope(state.unit, cgroup);
  if (!stopped) {
    Warn(globals, Cat("the scope ", state.unit, " may be left: ", stopped.error().message()));
    return {};
  }
  return cgroup ? cgroup->Remove() : Result<>();
}

}  // namespace wherry::oci_runtime
