// A container's terminal in the foreground: between the caller's streams and its master, until the
// program has ended.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

// Before the program runs: the size is that of the caller's terminal, and the ends of lines are
// left to that one; what is no terminal gets the output as it is.
void MatchTerminal(int master);

// The program's exit status (128 and the signal's number). The caller's terminal, if standard input
// is one, is raw meanwhile and its size is the container's; the end of other input is passed on as
// ^D. Signals go to the program. REQUIRES: BlockSignals before the process was made.
Result<int> RelayTerminal(const sys::PidFd& process, UniqueFd master);

}  // namespace wherry::oci_runtime
