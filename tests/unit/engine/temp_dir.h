// A directory of its own for a test, removed at the end.
#pragma once

#include <stdlib.h>

#include <string>

#include "core/base/file.h"

namespace wherry::engine {

class TempDir {
 public:
  TempDir() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/wherry-engine-test.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr)
      abort();
  }
  ~TempDir() { (void)RemoveTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace wherry::engine
