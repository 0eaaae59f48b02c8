// The init of containers created with --init: the shim's own program, bound into the container
// under another name. Part of wherry-shim.
#pragma once

namespace wherry::shim {

// Where it is inside a container.
inline constexpr char kInitPath[] = "/sbin/docker-init";

// Whether the program was started under that name.
bool IsInit(const char* program);

// Runs `command` (null-terminated, not empty) as a child, passes signals on to it and reaps what it
// leaves behind. Returns the exit status: the child's, 128 plus the signal that killed it, 126 or
// 127 when it cannot be executed.
int RunInit(char** command);

}  // namespace wherry::shim
