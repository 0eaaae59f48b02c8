// Users and groups by name or number from the text of /etc/passwd and /etc/group, as passwd(5) and
// group(5) describe them. Works on text only: whoever calls opens the files (inside a container's
// root: RESOLVE_IN_ROOT, size-capped, regular files). Never the host's name service. Thread-safe,
// no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry {

struct UserEntry {
  std::string_view name;
  uint32_t uid;
  uint32_t gid;
  std::string_view home;
  std::string_view shell;
};

struct GroupEntry {
  std::string_view name;
  uint32_t gid;
  std::string_view members;  // "alice,bob"
};

// The first entry that fits; lines that are malformed or whose numbers are out of range are
// skipped. The views point into the text.
std::optional<UserEntry> FindUser(std::string_view passwd, std::string_view name);
std::optional<UserEntry> FindUser(std::string_view passwd, uint32_t uid);
std::optional<GroupEntry> FindGroup(std::string_view group, std::string_view name);
std::optional<GroupEntry> FindGroup(std::string_view group, uint32_t gid);

// A uid or gid: digits only, the whole text, 0 to 2^31-1. nullopt: no number, so a name. kInvalid:
// a number beyond the range and what can be neither (empty, a sign in front, blanks, control
// characters, ':').
Result<std::optional<uint32_t>> ParseUserNumber(std::string_view text);

struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;  // for setgroups: gid first (CVE-2022-2989), no duplicates
  std::string home = "/";
  std::string name;  // empty when the uid has no entry
};

// Resolves Docker's `user[:group]`, each a name or a number; "" is "0". A number is not looked up
// as a name and need not have an entry; its entry, when there is one, gives group, home and
// supplementary groups. With an explicit group there are no supplementary groups (as in Docker).
// kInvalid for malformed text, kNotFound for a name without entry: one sentence naming it.
Result<ResolvedUser> ResolveUser(std::string_view spec, std::string_view passwd,
                                 std::string_view group);

// The gids of --group-add, names or numbers, in order. Errors as above.
Result<std::vector<uint32_t>> ResolveGroups(const std::vector<std::string>& groups,
                                            std::string_view group);

}  // namespace wherry
