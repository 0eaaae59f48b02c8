// The socket between the runtime and a container's init while it is being built: errors with their
// full text, the console descriptor, "ready" and "go". One message is one packet (SOCK_SEQPACKET)
// with a fixed header; the two ends are the same program, so there is no version. Blocking.
// Internal to core/runtime.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/runtime/container.h"

namespace wherry::runtime {

enum class SyncKind : uint8_t {
  kError,         // from init: it could not go on; the last message
  kConsole,       // from init: carries the pty master
  kReady,         // from init: everything is done but execve
  kInNamespaces,  // from init: it waits for kProceed before it mounts anything
  kInit,          // from the process that has made init and ends: its pidfd, its pid as text
  kProceed,   // to init: it is in its cgroup now (kernels without CLONE_INTO_CGROUP), or goes on
  kDetached,  // to init: kGo comes by the start socket
  kGo,        // to init: execute the program
  kListener,  // from init: carries the memory its seccomp listener is offered in
};

struct SyncMessage {
  SyncKind kind = SyncKind::kError;
  int exit_code = 0;  // kError
  Errc errc = Errc::kInternal;
  std::string text;  // kError, kInit
  UniqueFd fd;       // kConsole, kInit, kListener
};

struct SyncPair {
  UniqueFd runtime;
  UniqueFd init;
};
Result<SyncPair> MakeSyncPair();

Result<> SendSync(int socket, SyncKind kind);
Result<> SendSyncFd(int socket, SyncKind kind, int fd, std::string_view text = {});
// A text over 4000 bytes is cut.
Result<> SendSyncError(int socket, const StartError& error);

// The next message; nullopt at the end (the other side has closed, by execve or by dying).
Result<std::optional<SyncMessage>> ReceiveSync(int socket);

}  // namespace wherry::runtime
