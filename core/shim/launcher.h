// The launcher: builds one container and becomes its shim. Runs as a process of its own,
// single-threaded, started by the daemon as `wherry-launch` with the LaunchSpec on descriptor 3 and
// the result pipe on descriptor 4.
#pragma once

namespace wherry::shim {

// Main function of `wherry-launch`. On success the process becomes wherry-shim and this does not
// return; otherwise the error line has been written, nothing of the container is left but its
// directories, and the value is the exit status.
int LauncherMain();

}  // namespace wherry::shim
