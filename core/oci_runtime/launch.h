// What create, run and exec have in common: what the caller gives the program, and what it is told.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/options.h"
#include "core/runtime/seccomp.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

// The rows every one of them has.
constexpr OptionRow kConsoleSocket{"console-socket", 0, Takes::kValue};
constexpr OptionRow kPidFile{"pid-file", 0, Takes::kValue};
constexpr OptionRow kPreserveFds{"preserve-fds", 0, Takes::kValue};
constexpr OptionRow kPidfdSocket{"pidfd-socket", 0, Takes::kRefused};

// The number of descriptors from 3 on that the program gets: --preserve-fds and those of socket
// activation, for which `process` is told (LISTEN_FDS). kInvalid when one of them is not open.
Result<int> PreservedFds(const Options& options, oci::Process& process);

// Without root, a user namespace in which the caller is, as root, where the configuration has none.
void AddOwnUser(oci::RuntimeSpec& spec);

// Takes from the ambient set what the kernel does not let be ambient, as runc and crun do: what
// `runc spec` and podman write names ambient capabilities that are not inheritable.
void DropImpossibleAmbient(oci::Process& process);

// kInvalid unless there is a console socket exactly when there is a terminal.
Result<> CheckConsole(const Options& options, const oci::Process& process);
// Sends the pty master to whoever listens at `path`.
Result<> SendConsole(const std::string& path, const UniqueFd& master);

// The decimal number without a newline, as callers parse it.
Result<> WritePidFile(const std::string& path, int pid);

// linux.seccomp; empty: no filter.
Result<runtime::SeccompFilter> CompileFilter(const std::string& seccomp,
                                             const oci::Process& process);

// Keeps signals for AwaitExit; before the container is made, so that none is lost.
void BlockSignals();
// Passes signals on to the process until it ends, and reaps it. 128+n for signal n.
Result<int> AwaitExit(const sys::PidFd& process);

}  // namespace wherry::oci_runtime
