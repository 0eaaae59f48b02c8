// User namespaces (user_namespaces(7)): id maps of processes, a namespace as the map of a mount.
// For single-threaded callers but ActingAs and ReadIdMaps.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>

#include "core/base/fd.h"
#include "core/base/id_map.h"
#include "core/base/result.h"

namespace wherry::sys {

// Gives the new user namespace of `pid` its ids; once for each namespace. Who is not root gives its
// own, or has newuidmap(1) and newgidmap(1) give what /etc/subuid and /etc/subgid let it have.
// kInvalid for maps that the kernel refuses, kDenied for ids that the caller may not give away.
Result<> WriteIdMaps(pid_t pid, const IdMaps& maps);
// Those of the user namespace of `pid`, as the caller's has the ids outside.
Result<IdMaps> ReadIdMaps(pid_t pid);

// Whether the caller's user namespace is another than the machine's first.
bool InUserNamespace();

// Ids 0 of the caller's user namespace, without supplementary groups where they can be dropped and
// are not to be kept; stays who it is where there is no 0.
enum class Groups : uint8_t { kDrop, kKeep };
Result<> BecomeNamespaceRoot(Groups groups);

// While it lives, what the calling thread makes belongs to others, as which it also is judged; its
// capabilities stay. For threads of their own.
class ActingAs {
 public:
  static Result<ActingAs> Begin(uid_t uid, gid_t gid);
  ActingAs(ActingAs&& other) noexcept : bits_(std::exchange(other.bits_, -1)) {}
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ActingAs& operator=(ActingAs&&) = delete;
  ~ActingAs();

 private:
  explicit ActingAs(int bits) : bits_(bits) {}
  int bits_;  // the thread's securebits before; -1: nothing to undo
};

// A user namespace with these maps that no process is in.
Result<UniqueFd> MakeUserNamespace(const IdMaps& maps);

}  // namespace wherry::sys
