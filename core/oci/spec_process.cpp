#include "core/oci/spec_process.h"

#include <sys/resource.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/oci/spec_scheduling.h"

namespace wherry::oci {

namespace {

struct RlimitRow {
  std::string_view name;
  int resource;
};
constexpr RlimitRow kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

Result<> ReadUser(const Field& field, User& user) {
  TRY(field.ExpectObject());
  TRY(field["uid"].Store(user.uid, 0, kMaxId));
  TRY(field["gid"].Store(user.gid, 0, kMaxId));
  TRY(field["umask"].Store(user.umask, 0, 0777));
  std::vector<Field> gids = TRY(field["additionalGids"].Elements());
  for (const Field& gid : gids)
    user.additional_gids.push_back(static_cast<uint32_t>(TRY(gid.Number(0, kMaxId))));
  user.username = TRY(field["username"].Text());
  return {};
}

Result<> ReadCapabilities(const Field& field, std::optional<Capabilities>& out) {
  if (!field)
    return {};
  TRY(field.ExpectObject());
  Capabilities sets;
  sets.bounding = TRY(field["bounding"].Texts());
  sets.effective = TRY(field["effective"].Texts());
  sets.permitted = TRY(field["permitted"].Texts());
  sets.inheritable = TRY(field["inheritable"].Texts());
  sets.ambient = TRY(field["ambient"].Texts());
  out = std::move(sets);
  return {};
}

// 18446744073709551615 and what a double makes of it are "unlimited"; -1 is what careless writers
// put for it.
Result<uint64_t> ReadLimit(const Field& field) {
  if (!field)
    return field.Bad("is missing");
  int64_t number = TRY(field.Number(-1, INT64_MAX));
  return number < 0 || number == INT64_MAX ? UINT64_MAX : static_cast<uint64_t>(number);
}

Result<> ReadRlimits(const Field& field, std::vector<Rlimit>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    Rlimit limit;
    limit.type = TRY(element["type"].Text());
    auto row = std::ranges::find(kRlimits, limit.type, &RlimitRow::name);
    if (row == std::end(kRlimits))
      return element["type"].Bad(Cat("names no resource limit: ", limit.type));
    if (std::ranges::find(out, limit.type, &Rlimit::type) != out.end()) {
      return element.Bad(Cat("repeats ", limit.type));
    }
    limit.resource = row->resource;
    limit.soft = TRY(ReadLimit(element["soft"]));
    limit.hard = TRY(ReadLimit(element["hard"]));
    if (limit.soft > limit.hard)
      return element.Bad("has a soft limit above the hard limit");
    out.push_back(std::move(limit));
  }
  return {};
}

}  // namespace

Result<> ReadProcess(const Field& field, Process& process) {
  if (!field)
    return field.Bad("is missing");
  TRY(field.ExpectObject());
  if (field["commandLine"].AsksForSomething())
    return field["commandLine"].Unsupported();
  process.terminal = TRY(field["terminal"].Flag());
  TRY(field["consoleSize"].ExpectObject());
  TRY(field["consoleSize"]["height"].Store(process.console_size.height, 0, 65535));
  TRY(field["consoleSize"]["width"].Store(process.console_size.width, 0, 65535));
  TRY(ReadUser(field["user"], process.user));
  process.args = TRY(field["args"].Texts());
  if (process.args.empty())
    return field["args"].Bad("must name a program");
  process.env = TRY(field["env"].Environment());
  process.cwd = TRY(field["cwd"].AbsolutePath());
  TRY(ReadCapabilities(field["capabilities"], process.capabilities));
  TRY(ReadRlimits(field["rlimits"], process.rlimits));
  process.no_new_privileges = TRY(field["noNewPrivileges"].Flag());
  TRY(field["oomScoreAdj"].Store(process.oom_score_adj, -1000, 1000));
  TRY(ReadScheduler(field["scheduler"], process.scheduler));
  TRY(ReadIoPriority(field["ioPriority"], process.io_priority));
  TRY(ReadExecAffinity(field["execCPUAffinity"], process.exec_affinity));
  process.apparmor_profile = TRY(field["apparmorProfile"].Text());
  process.selinux_label = TRY(field["selinuxLabel"].Text());
  return {};
}

Result<Process> ParseProcess(std::string_view json) {
  JsonDocument document = TRY(JsonDocument::Parse(json, "process"));
  const JsonValue top = document.root();
  Process process;
  TRY(ReadProcess(Field(top, "process"), process));
  return process;
}

}  // namespace wherry::oci
