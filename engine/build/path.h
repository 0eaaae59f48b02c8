// Paths as text, without a file system.
#pragma once

#include <string>
#include <string_view>

namespace wherry::build {

// The shortest path of the same meaning, as Go's path.Clean: "a//b/./../c/" -> "a/c", "" -> ".";
// "/.." is "/", a leading ".." of a relative path stays.
std::string CleanPath(std::string_view path);

}  // namespace wherry::build
