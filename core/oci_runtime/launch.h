// What create, run and exec have in common: what the caller gives the program, and what it is told.
#pragma once

#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/options.h"
#include "core/runtime/container.h"
#include "core/runtime/seccomp.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

// The rows every one of them has.
constexpr OptionRow kConsoleSocket{"console-socket", 0, Takes::kValue};
constexpr OptionRow kPidFile{"pid-file", 0, Takes::kValue};
constexpr OptionRow kPreserveFds{"preserve-fds", 0, Takes::kValue};
constexpr OptionRow kPidfdSocket{"pidfd-socket", 0, Takes::kValue};

// The number of descriptors from 3 on that the program gets: --preserve-fds and those of socket
// activation, for which `process` is told (LISTEN_FDS). kInvalid when one of them is not open.
Result<int> PreservedFds(const Options& options, oci::Process& process);

// Without root, a user namespace where the configuration has none; the caller as its root, alone,
// where it has a new one and does not say whose ids are in it (as with crun).
void AddOwnUser(oci::RuntimeSpec& spec);

// Takes from the ambient set what the kernel does not let be ambient, as runc and crun do: what
// `runc spec` and podman write names ambient capabilities that are not inheritable.
void DropImpossibleAmbient(oci::Process& process);

// Whether the program keeps the caller's groups: podman's `--group-add keep-groups`, as crun's
// annotation `run.oci.keep_original_groups`.
bool KeepsGroups(const oci::RuntimeSpec& spec);

enum class Foreground : uint8_t { kNo, kYes };
// kInvalid for a console socket without a terminal, and for a terminal that neither has one nor a
// caller in the foreground.
Result<> CheckConsole(const Options& options, const oci::Process& process, Foreground foreground);

// Gives what the caller asked for: the terminal to --console-socket, a pidfd to --pidfd-socket, the
// pid to --pid-file (the decimal number without a newline, as callers parse it).
Result<> Announce(const Options& options, const oci::Process& process, runtime::Prepared& prepared);

// linux.seccomp; empty: no filter.
Result<runtime::SeccompFilter> CompileFilter(const std::string& seccomp,
                                             const oci::Process& process);

// What config-linux.md calls the container process state, with the listener of its filter, to
// whoever listens at wanted.path.
Result<> SendListener(const oci::SeccompListener& wanted, int pid, const std::string& state_json,
                      int listener);

}  // namespace wherry::oci_runtime
