#include "core/runtime/security_label.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::runtime {

namespace {

constexpr long kProcMagic = 0x9fa0;
constexpr std::string_view kApparmor = "process.apparmorProfile";
constexpr std::string_view kSelinux = "process.selinuxLabel";

bool HasSelinux() {
  return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

std::unexpected<Error> Missing(std::string_view member, std::string_view module) {
  return Fail(Errc::kUnsupported,
              Cat("config.json: ", member, " needs ", module,
                  ", which this kernel does not have or has not enabled: leave the member out"));
}

Result<> WriteLabel(int procfs, const char* file, const std::string& label,
                    std::string_view member) {
  UniqueFd attribute = TRY_CTX(member, OpenAt(procfs, file, O_WRONLY | O_NOFOLLOW));
  if (write(attribute.get(), label.data(), label.size()) < 0)
    return FailSys(Cat(member, ": write /proc/", file), label);
  return {};
}

// AppArmor's own file (Linux 5.8).
Result<> WriteProfile(int procfs, const std::string& profile) {
  Result<> written =
      WriteLabel(procfs, "thread-self/attr/apparmor/exec", Cat("exec ", profile), kApparmor);
  if (!written && written.error().error_number() == ENOENT) {
    return Fail(Errc::kNotFound, Cat(kApparmor, ": the AppArmor profile \"", profile,
                                     "\" is not loaded: load it with apparmor_parser"));
  }
  return written;
}

}  // namespace

bool ApparmorEnabled() {
  Result<std::string> enabled = ReadFile("/sys/module/apparmor/parameters/enabled", 16);
  return enabled && enabled->starts_with('Y');
}

Result<> CheckLabels(const oci::Process& process, const std::string& mount_label) {
  if (!process.apparmor_profile.empty() && !ApparmorEnabled())
    return Missing(kApparmor, "AppArmor");
  bool wants_selinux = !process.selinux_label.empty() || !mount_label.empty();
  if (wants_selinux && !HasSelinux())
    return Missing(mount_label.empty() ? kSelinux : "linux.mountLabel", "SELinux");
  return {};
}

Result<> ExecLabels::Open(const oci::Process& process) {
  if (process.apparmor_profile.empty() && process.selinux_label.empty())
    return {};
  procfs_ = TRY(OpenDir("/proc"));
  struct statfs fs{};
  if (fstatfs(procfs_.get(), &fs) < 0)
    return FailSys("fstatfs", "/proc");
  if (fs.f_type != kProcMagic)
    return Fail(Errc::kDenied, "/proc of the host is not procfs");
  return {};
}

Result<> ExecLabels::Announce(const oci::Process& process) const {
  if (!process.apparmor_profile.empty())
    TRY(WriteProfile(procfs_.get(), process.apparmor_profile));
  if (!process.selinux_label.empty())
    TRY(WriteLabel(procfs_.get(), "thread-self/attr/exec", process.selinux_label, kSelinux));
  return {};
}

}  // namespace wherry::runtime
