// A program in the foreground: signals go to it, its terminal is between the caller's streams and
// its master, until it has ended.
#pragma once

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci_runtime/notify.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

// Keeps signals for AwaitExit; before the container is made, so that none is lost.
void BlockSignals();

// Before the program runs: the size is that of the caller's terminal, and the ends of lines are
// left to that one; what is no terminal gets the output as it is.
void MatchTerminal(int master);

// The program's exit status (128 and the signal's number), and it is reaped. With a terminal (else
// `master` is empty), the caller's, if standard input is one, is raw meanwhile and its size is the
// container's; the end of other input is passed on as ^D. Signals go to the program. What the
// container says to `notify` is taken (null: nothing). REQUIRES: BlockSignals before the process
// was made.
Result<int> AwaitExit(const sys::PidFd& process, UniqueFd master, NotifyListener* notify = nullptr);

}  // namespace wherry::oci_runtime
