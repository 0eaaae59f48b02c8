#include "engine/user_namespace.h"

#include <sys/stat.h>

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/user_namespace.h"
#include "engine/network/network.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kForm = "must be off, FIRST:COUNT, or a name in /etc/subuid";

// Ids one after the other from 0, as many as there are.
Result<> Add(IdMap& map, std::string_view first, std::string_view count) {
  uint64_t outside = TRY(ParseUint(first));
  uint64_t number = TRY(ParseUint(count));
  uint64_t inside = map.empty() ? 0 : uint64_t{map.back().inside} + map.back().count;
  if (outside == 0 || number == 0 || outside + number > UINT32_MAX || inside + number > UINT32_MAX)
    return Fail(Errc::kInvalid, Cat(first, ":", count,
                                    " is no range of ids: both are above 0, their sum below 2^32"));
  map.push_back({static_cast<uint32_t>(inside), static_cast<uint32_t>(outside),
                 static_cast<uint32_t>(number)});
  return {};
}

// "NAME:FIRST:COUNT", a range a line (subuid(5)).
Result<IdMap> ReadRanges(const std::string& path, std::string_view name) {
  std::string text = TRY(ReadFile(path));
  IdMap map;
  for (std::string_view line : Split(text, '\n')) {
    std::vector<std::string_view> fields = Split(Trim(line), ':');
    if (fields.size() == 3 && fields[0] == name)
      TRY_CTX(path, Add(map, fields[1], fields[2]));
  }
  if (map.empty())
    return Fail(Errc::kNotFound, Cat(path, " has no line ", name, ":FIRST:COUNT; ", kForm));
  return map;
}

}  // namespace

Result<std::optional<IdMaps>> ParseRemap(std::string_view value) {
  if (value == "off")
    return std::optional<IdMaps>();
  if (value.empty())
    return Fail(Errc::kInvalid, std::string(kForm));
  IdMaps maps;
  if (auto range = SplitFirst(value, ':')) {
    TRY_CTX(kForm, Add(maps.users, range->head, range->tail));
    maps.groups = maps.users;
  } else {
    maps.users = TRY(ReadRanges("/etc/subuid", value));
    maps.groups = TRY(ReadRanges("/etc/subgid", value));
  }
  return std::optional<IdMaps>(std::move(maps));
}

Result<> CheckRemapped(const HostOptions& options) {
  struct Row {
    bool asked;
    std::string_view says;
  };
  const Row rows[] = {
      {options.privileged,
       "privileged mode is incompatible with user namespaces. You must run the container in the "
       "host namespace when running privileged mode"},
      {options.network_mode == kHostNetwork,
       "cannot share the host's network namespace when user namespaces are enabled"},
      {options.pid_mode == "host",
       "cannot share the host's PID namespace when user namespaces are enabled"},
  };
  for (const Row& row : rows) {
    if (row.asked)
      return Fail(Errc::kInvalid, Cat(row.says, ": --userns=host"));
  }
  return {};
}

Result<std::optional<IdMaps>> IdMapsOf(int pid) {
  struct stat own{};
  struct stat its{};
  std::string path = Cat("/proc/", pid, "/ns/user");
  if (stat("/proc/self/ns/user", &own) != 0 || stat(path.c_str(), &its) != 0)
    return FailSys("stat", path);
  if (own.st_ino == its.st_ino)
    return std::optional<IdMaps>();
  IdMaps maps = TRY(sys::ReadIdMaps(pid));
  return std::optional<IdMaps>(std::move(maps));
}

}  // namespace wherry::engine
