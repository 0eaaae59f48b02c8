// Project quotas: how much may be written below a directory. ext4 with the features project and
// quota and the mount option prjquota, xfs with prjquota; Linux 5.14.
#pragma once

#include <cstdint>

#include "core/base/result.h"

namespace wherry::sys {

// Whether the file system of the open directory enforces them. kUnsupported with the reason.
Result<> CheckProjectQuota(int dir);

// What is created in the directory belongs to a project from here on. 0: none.
Result<uint32_t> ProjectOf(int dir);
Result<> SetProject(int dir, uint32_t project);

struct ProjectUse {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  uint64_t limit = 0;  // in bytes; 0: none
  bool free() const { return bytes == 0 && inodes == 0 && limit == 0; }
};
// Of the file system of the open directory `dir`. The limit is rounded to 1024 bytes.
Result<ProjectUse> UseOfProject(int dir, uint32_t project);
Result<> LimitProject(int dir, uint32_t project, uint64_t bytes);

}  // namespace wherry::sys
