// Variables in the values of a compose file, and files of variables (.env, env_file).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::compose {

using Environment = std::map<std::string, std::string, std::less<>>;

inline constexpr size_t kMaxValueBytes = 256 << 10;  // what one value may grow to

// `text` with $NAME, ${NAME}, ${NAME:-d}, ${NAME-d}, ${NAME:?e}, ${NAME?e}, ${NAME:+r}, ${NAME+r}
// replaced, those inside d and r too; $$ is one $. Names that are not set and have no default are
// empty and added to `unset`. kInvalid for a malformed or missing required variable.
Result<std::string> Interpolate(std::string_view text, const Environment& environment,
                                std::vector<std::string>& unset);

// A file of variables: NAME=VALUE, `export` before it, # comments, 'as it is', "with \n and $X",
// both over several lines. NAME alone takes the value of `environment`, where it has one. Values
// see `environment` first, then earlier lines. kInvalid "line N: ...".
Result<Environment> ParseEnvFile(std::string_view text, const Environment& environment);

}  // namespace wherry::compose
