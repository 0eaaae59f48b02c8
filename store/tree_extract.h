// Unpacks an archive into a directory of a tree that somebody else may be changing, a running
// container above all. Hostile archive and hostile tree: every path is resolved inside the root,
// names with ".." are refused, and what is made is acted on by descriptor. What is there already is
// replaced, directories are merged. Blocking; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "core/base/byte_source.h"
#include "core/base/id_map.h"
#include "core/base/result.h"

namespace wherry::store {

struct ExtractOptions {
  // Whose files they become. kArchive: as the archive says. kCaller: the caller's, without set-id
  // bits, capabilities and devices: what comes out of a container has no power outside.
  enum class Owner : uint8_t { kArchive, kCaller, kGiven };
  Owner owner = Owner::kArchive;
  uint32_t uid = 0;  // kGiven
  uint32_t gid = 0;
  // Of a tree in another user namespace: archive, `uid` and `gid` have owners as they are inside.
  std::optional<IdMaps> ids = {};
  // A directory is never replaced by something else, nor something else by a directory.
  bool keep_kinds = false;
  // The first component `from` of all names becomes `to`.
  std::optional<std::pair<std::string, std::string>> rename = {};
  // Called for each entry and piece of content; an error ends it.
  std::move_only_function<Result<>()> go_on = {};
};

// `archive` is a tar archive, plain or compressed with gzip or zstd. `directory`: path inside of
// `root`, a directory descriptor. kInvalid for names that lead out of it and for what is no
// archive; what has been unpacked before an error stays.
Result<> ExtractTree(ByteSource& archive, int root, const std::string& directory,
                     ExtractOptions options);

}  // namespace wherry::store
