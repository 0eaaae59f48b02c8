#include "core/sys/project_quota.h"

#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace wherry::sys {

namespace {

constexpr uint64_t kBlock = 1024;  // of limits in dqblk

#ifndef SYS_quotactl_fd
constexpr long SYS_quotactl_fd = 443;
#endif

long Quotactl(int fd, unsigned int command, uint32_t project, void* data) {
  return syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, data);
}

}  // namespace

Result<> CheckProjectQuota(int dir) {
  fs_quota_stat state{};
  state.qs_version = FS_QSTAT_VERSION;
  if (Quotactl(dir, Q_XGETQSTAT, 0, &state) != 0) {
    if (errno == ENOSYS && syscall(SYS_quotactl_fd, -1, 0, 0, nullptr) != 0 && errno == ENOSYS)
      return Fail(Errc::kUnsupported, "the kernel has no quotactl_fd (Linux 5.14)");
    return Fail(Errc::kUnsupported, "the file system has no quotas, or they are not switched on");
  }
  if ((state.qs_flags & FS_QUOTA_PDQ_ENFD) == 0)
    return Fail(Errc::kUnsupported, "project quotas are not enforced");
  return {};
}

Result<uint32_t> ProjectOf(int dir) {
  fsxattr attributes{};
  if (ioctl(dir, static_cast<int>(FS_IOC_FSGETXATTR), &attributes) != 0)
    return FailSys("FS_IOC_FSGETXATTR");
  return (attributes.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0 ? attributes.fsx_projid : 0;
}

Result<> SetProject(int dir, uint32_t project) {
  fsxattr attributes{};
  if (ioctl(dir, static_cast<int>(FS_IOC_FSGETXATTR), &attributes) != 0)
    return FailSys("FS_IOC_FSGETXATTR");
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (ioctl(dir, static_cast<int>(FS_IOC_FSSETXATTR), &attributes) != 0)
    return FailSys("FS_IOC_FSSETXATTR");
  return {};
}

Result<ProjectUse> UseOfProject(int dir, uint32_t project) {
  if_dqblk quota{};
  if (Quotactl(dir, Q_GETQUOTA, project, &quota) != 0) {
    if (errno == ENOENT)  // xfs: never used
      return ProjectUse();
    return FailSys("read a project quota");
  }
  return ProjectUse{quota.dqb_curspace, quota.dqb_curinodes, quota.dqb_bhardlimit * kBlock};
}

Result<> LimitProject(int dir, uint32_t project, uint64_t bytes) {
  if_dqblk quota{};
  quota.dqb_bhardlimit = quota.dqb_bsoftlimit = (bytes + kBlock - 1) / kBlock;
  quota.dqb_valid = QIF_BLIMITS;
  if (Quotactl(dir, Q_SETQUOTA, project, &quota) != 0)
    return FailSys("set a project quota");
  return {};
}

}  // namespace wherry::sys
