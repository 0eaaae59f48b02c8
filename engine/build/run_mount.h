// RUN --mount=type=cache,target=/x: parsed as Docker does. Which types can be mounted is up to who
// executes the instruction. Hostile input; thread-safe, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "engine/build/word.h"

namespace wherry::build {

struct Mount {
  enum class Type : uint8_t { kBind, kCache, kTmpfs, kSecret, kSsh };
  enum class Sharing : uint8_t { kShared, kPrivate, kLocked };

  Type type = Type::kBind;
  std::string from;  // a stage or an image; empty: the build context
  std::string source;
  std::string target;
  std::string id;  // of a cache, a secret or an agent
  bool read_only = true;
  bool required = false;
  uint64_t size_bytes = 0;  // of a tmpfs; 0: no limit of its own
  Sharing sharing = Sharing::kShared;
  std::optional<uint32_t> mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<std::string> env;  // name of the variable that gets a secret; empty: the default
};

std::string_view MountTypeName(Mount::Type type);  // "cache"

// The mount with its variables replaced. kInvalid in BuildKit's words.
Result<Mount> ParseMount(std::string_view text, const Variables& variables, char escape);
// What can be said before the variables are known.
Result<> CheckMount(std::string_view text);
// The stage or the image the mount is from; empty when it is from neither.
std::string MountOrigin(std::string_view text);

}  // namespace wherry::build
