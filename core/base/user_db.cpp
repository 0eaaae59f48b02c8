#include "core/base/user_db.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/base/text.h"

namespace wherry {

namespace {

constexpr uint32_t kMaxNumber = std::numeric_limits<int32_t>::max();

bool IsAllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Strict: digits only and in range.
std::optional<uint32_t> Number(std::string_view text) {
  if (!IsAllDigits(text)) {
    return std::nullopt;
  }
  uint32_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || value > kMaxNumber) {
    return std::nullopt;
  }
  return value;
}

// The first line of `text` for which `parse` gives an entry that `fits`.
template <class Entry, class Fits>
std::optional<Entry> FindLine(std::string_view text,
                              std::optional<Entry> (*parse)(std::string_view), Fits fits) {
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::optional<Entry> entry = parse(text.substr(0, end));
    if (entry && fits(*entry)) {
      return entry;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

// Cuts `line` at its colons into at most `N` fields; missing ones stay empty (images made by hand
// leave home and shell out).
template <size_t N>
bool Fields(std::string_view line, std::array<std::string_view, N>& fields) {
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  for (std::string_view& field : fields) {
    size_t end = std::min(line.find(':'), line.size());
    field = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return line.empty() && !fields[0].empty();
}

std::optional<UserEntry> ParseUser(std::string_view line) {
  std::array<std::string_view, 7> fields;
  if (!Fields(line, fields)) {
    return std::nullopt;
  }
  std::optional<uint32_t> uid = Number(fields[2]);
  std::optional<uint32_t> gid = Number(fields[3]);
  if (!uid || !gid) {
    return std::nullopt;
  }
  return UserEntry{fields[0], *uid, *gid, fields[5], fields[6]};
}

std::optional<GroupEntry> ParseGroup(std::string_view line) {
  std::array<std::string_view, 4> fields;
  if (!Fields(line, fields)) {
    return std::nullopt;
  }
  std::optional<uint32_t> gid = Number(fields[2]);
  if (!gid) {
    return std::nullopt;
  }
  return GroupEntry{fields[0], *gid, fields[3]};
}

bool IsMember(const GroupEntry& group, std::string_view user) {
  for (std::string_view member : Split(group.members, ',')) {
    if (member == user) {
      return true;
    }
  }
  return false;
}

void AddUnique(std::vector<uint32_t>& gids, uint32_t gid) {
  if (std::find(gids.begin(), gids.end(), gid) == gids.end()) {
    gids.push_back(gid);
  }
}

Result<uint32_t> ResolveGroup(std::string_view name, std::string_view group) {
  if (std::optional<uint32_t> gid = TRY_CTX("group", ParseUserNumber(name))) {
    return *gid;
  }
  std::optional<GroupEntry> entry = FindGroup(group, name);
  if (!entry) {
    return Fail(Errc::kNotFound,
                Cat("group ", name, " is not in the image's /etc/group; use a number instead"));
  }
  return entry->gid;
}

// The numbers and the home of `name` without regard to an explicit group.
Result<ResolvedUser> ResolveAccount(std::string_view name, std::string_view passwd) {
  std::optional<uint32_t> uid = TRY_CTX("user", ParseUserNumber(name));
  std::optional<UserEntry> entry = uid ? FindUser(passwd, *uid) : FindUser(passwd, name);
  if (!entry && !uid) {
    return Fail(Errc::kNotFound,
                Cat("user ", name, " is not in the image's /etc/passwd; use a number instead"));
  }
  ResolvedUser user;
  if (!entry) {
    user.uid = *uid;
    return user;
  }
  user.uid = entry->uid;
  user.gid = entry->gid;
  user.name = entry->name;
  if (!entry->home.empty()) {
    user.home = entry->home;
  }
  return user;
}

}  // namespace

std::optional<UserEntry> FindUser(std::string_view passwd, std::string_view name) {
  return FindLine(passwd, &ParseUser, [&](const UserEntry& user) { return user.name == name; });
}

std::optional<UserEntry> FindUser(std::string_view passwd, uint32_t uid) {
  return FindLine(passwd, &ParseUser, [&](const UserEntry& user) { return user.uid == uid; });
}

std::optional<GroupEntry> FindGroup(std::string_view group, std::string_view name) {
  return FindLine(group, &ParseGroup, [&](const GroupEntry& entry) { return entry.name == name; });
}

std::optional<GroupEntry> FindGroup(std::string_view group, uint32_t gid) {
  return FindLine(group, &ParseGroup, [&](const GroupEntry& entry) { return entry.gid == gid; });
}

Result<std::optional<uint32_t>> ParseUserNumber(std::string_view text) {
  if (IsAllDigits(text)) {
    std::optional<uint32_t> number = Number(text);
    if (!number) {
      return Fail(Errc::kInvalid, Cat(text.substr(0, 32), " is beyond ", kMaxNumber));
    }
    return number;
  }
  bool odd = std::any_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7f || c == ':';
  });
  if (text.empty() || odd || text.front() == '-' || text.front() == '+') {
    return Fail(Errc::kInvalid, "the text is neither a name nor a number");
  }
  return std::nullopt;
}

Result<ResolvedUser> ResolveUser(std::string_view spec, std::string_view passwd,
                                 std::string_view group) {
  auto parts = SplitFirst(spec, ':');
  std::string_view user_part = parts ? parts->head : spec;
  std::string_view group_part = parts ? parts->tail : std::string_view();
  ResolvedUser user = TRY(ResolveAccount(user_part.empty() ? "0" : user_part, passwd));
  if (!group_part.empty()) {
    user.gid = TRY(ResolveGroup(group_part, group));
    user.additional_gids = {user.gid};
    return user;
  }
  user.additional_gids = {user.gid};
  if (!user.name.empty()) {
    FindLine(group, &ParseGroup, [&](const GroupEntry& entry) {
      if (IsMember(entry, user.name)) {
        AddUnique(user.additional_gids, entry.gid);
      }
      return false;
    });
  }
  return user;
}

Result<std::vector<uint32_t>> ResolveGroups(const std::vector<std::string>& groups,
                                            std::string_view group) {
  std::vector<uint32_t> gids;
  for (const std::string& name : groups) {
    AddUnique(gids, TRY(ResolveGroup(name, group)));
  }
  return gids;
}

}  // namespace wherry
