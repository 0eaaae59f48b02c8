// Everything a program can see of a tree of files.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <string>

#include "core/base/digest.h"
#include "core/base/text.h"
#include "tests/unit/store/files.h"

namespace wherry::store {

// The content of larger files is not looked at: metadata images do not have it.
inline constexpr size_t kShownContent = 5000;

// Path to everything a program can see of a file.
using Snapshot = std::map<std::string, std::string>;

inline std::string XattrsOf(const std::string& path) {
  std::string list(65536, '\0');
  ssize_t length = llistxattr(path.c_str(), list.data(), list.size());
  list.resize(length < 0 ? 0 : static_cast<size_t>(length));
  std::map<std::string, std::string> found;
  for (std::string_view name : Split(list, '\0')) {
    if (name.empty() || name == "trusted.overlay.metacopy" || name == "trusted.overlay.redirect")
      continue;
    std::string value(65536, '\0');
    length = lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
    value.resize(length < 0 ? 0 : static_cast<size_t>(length));
    found[std::string(name)] = value;
  }
  std::string text;
  for (const auto& [name, value] : found)
    Append(text, " ", name, "=", value);
  return text;
}

inline std::string Describe(const std::string& path) {
  struct stat info = Lstat(path);
  bool whiteout = S_ISCHR(info.st_mode) && info.st_rdev == 0;
  std::string text = Cat("mode ", info.st_mode, " links ", info.st_nlink, " ", info.st_uid, ":",
                         info.st_gid, " device ", major(info.st_rdev), ":", minor(info.st_rdev));
  if (!whiteout)  // its time has no meaning
    Append(text, " time ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
  if (!S_ISDIR(info.st_mode))
    Append(text, " size ", info.st_size);
  if (S_ISLNK(info.st_mode)) {
    char target[4096];
    ssize_t length = readlink(path.c_str(), target, sizeof target);
    Append(text, " to ",
           std::string_view(target, static_cast<size_t>(std::max<ssize_t>(length, 0))));
  }
  if (S_ISREG(info.st_mode) && static_cast<size_t>(info.st_size) <= kShownContent)
    Append(text, " content ", Digest::Of(Content(path)).hex());
  return text + XattrsOf(path);
}

inline void Look(const std::string& path, const std::string& name, Snapshot& found) {
  found[name] = Describe(path);
  if (!S_ISDIR(Lstat(path).st_mode))
    return;
  auto names = ListDir(path);
  ASSERT_TRUE(names) << path;
  for (const std::string& child : *names)
    Look(Cat(path, "/", child), Cat(name, "/", child), found);
}

}  // namespace wherry::store
