// Looking at files in tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/base/fd.h"
#include "core/base/file.h"
#include "tests/unit/temp_dir.h"

namespace wherry::store {

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
