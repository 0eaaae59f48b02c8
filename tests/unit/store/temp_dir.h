// A directory of its own for a test, on a file system where layers can be unpacked, and small file
// helpers.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/base/fd.h"
#include "core/base/file.h"

namespace wherry::store {

class TempDir {
 public:
  TempDir() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/wherry-store-test.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
      abort();
    }
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

inline struct stat Lstat(const std::string& path) {
  struct stat info{};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path << ": " << strerror(errno);
  return info;
}

inline bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

inline std::string Content(const std::string& path) {
  auto content = ReadFile(path, 64 << 20);
  return content ? *content : "(" + content.error().message() + ")";
}

}  // namespace wherry::store

// Layers need device nodes, owners and trusted attributes.
#define SKIP_UNLESS_ROOT()                                                             \
  if (geteuid() != 0) {                                                                \
    GTEST_SKIP() << "needs root: creates device nodes, owners and trusted attributes"; \
  }
