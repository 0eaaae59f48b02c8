// Files and directories copied from one tree to another by descriptor, and told apart by content:
// what COPY and ADD do. Links are copied and never followed. Worker.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::engine {

// What the copy gets in the place of what the source has.
struct CopyMetadata {
  std::optional<std::pair<uint32_t, uint32_t>> owner;
  std::optional<uint32_t> mode;
  // Of what comes out of an archive; none: as the archive says. A root file system keeps its
  // owners.
  std::optional<std::pair<uint32_t, uint32_t>> of_archives;
};

class TreeCopy {
 public:
  // `to`: the directory all targets lie below.
  TreeCopy(int to, const CopyMetadata& metadata) : top_(to), metadata_(metadata) {}

  // Replaces what has the name `to_name`.
  Result<> File(int from, int to_dir, const std::string& to_name);
  // What is in the directory `from`, into the directory `to`, which is `path` below the top.
  // Directories of one name become one; everything else replaces what is there. kInvalid: nested
  // too deep.
  Result<> Children(int from, int to, const std::string& path);

 private:
  Result<> Entry(int from, int to, const std::string& path, const std::string& name);
  Result<> Directory(int from, int to, const std::string& path, const std::string& name);
  Result<> Node(int from, int to, const std::string& name);
  Result<> Metadata(int from, int to) const;

  int top_;
  const CopyMetadata metadata_;
  int depth_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // files with several names, by the first
};

enum class OwnersCount : uint8_t { kNo, kYes };

class TreeHash {
 public:
  TreeHash(OwnersCount owners, Hasher& hasher) : owners_(owners), hasher_(hasher) {}

  // Names, types, modes, contents and targets of what is in an open directory, and owners where
  // they count; not times. kInvalid: nested too deep.
  Result<> Directory(int directory);
  // Mode, size and content of an open file.
  Result<> File(int file);

 private:
  std::string Metadata(const struct stat& info) const;
  Result<> Entry(int directory, const std::string& name);

  OwnersCount owners_;
  Hasher& hasher_;
  int depth_ = 0;
};

}  // namespace wherry::engine
