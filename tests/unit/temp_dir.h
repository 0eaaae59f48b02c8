// A directory of its own for a test, removed at the end.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statfs.h>

#include <string>

#include "core/base/fd.h"
#include "core/base/file.h"

namespace wherry {

class TempDir {
 public:
  // kMemory: where there is a tmpfs, for tests whose subject is not the file system and which make
  // many thousands of files.
  enum class Where { kDisk, kMemory };

  explicit TempDir(Where where = Where::kDisk) {
    constexpr unsigned kTmpfsMagic = 0x01021994;
    constexpr uint64_t kRoom = 256 << 20;
    const char* base = getenv("TMPDIR");
    if (base == nullptr)
      base = "/tmp";
    struct statfs info;
    if (where == Where::kMemory && statfs("/dev/shm", &info) == 0 && info.f_type == kTmpfsMagic &&
        static_cast<uint64_t>(info.f_bavail) * info.f_bsize >= kRoom)
      base = "/dev/shm";
    path_ = std::string(base) + "/wherry-test.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr)
      abort();
  }
  ~TempDir() { (void)RemoveTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  UniqueFd Fd() const { return UniqueFd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

 private:
  std::string path_;
};

}  // namespace wherry
