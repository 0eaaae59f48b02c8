#include "engine/compose/service.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/compose/ports.h"

namespace wherry::compose {

namespace {

constexpr int64_t kMaxScale = 1000;

// The state of reading one service.
struct Draft {
  Service service;
  const ServiceContext& context;
  Environment from_files;
  Environment given;
};

// How a value becomes a member of Docker's create request.
enum class Form : uint8_t {
  kText,
  kFlag,
  kNumber,
  kSize,
  kCpus,
  kTexts,
  kTextOrTexts,
  kStringMap,
  kCommand,
  kOwnNamespace,  // a text that is not service:NAME
  kOther,         // a reader of its own
};
enum class Part : uint8_t { kConfig, kHost };

struct Row {
  std::string_view key;
  Form form;
  Part part;
  std::string_view member;
  void (*read)(const Value& value, Draft& draft);
};

void ReadEnvironment(const Value& value, Draft& draft) {
  for (auto& [name, text] : value.NameValues()) {
    auto known = draft.context.environment.find(name);
    if (text) {
      draft.given[name] = *text;
    } else if (known != draft.context.environment.end()) {
      draft.given[name] = known->second;
    }
  }
}

struct EnvFile {
  std::string path;
  bool required = true;
};
constexpr KeyRow<EnvFile> kEnvFileKeys[] = {
    {"path", [](const Value& v, EnvFile& out) { out.path = v.Text(); }},
    {"required", [](const Value& v, EnvFile& out) { out.required = v.Flag(); }},
};

void ReadOneEnvFile(const Value& value, Draft& draft) {
  EnvFile file;
  if (value.IsMap()) {
    ReadKeys<EnvFile>(value, kEnvFileKeys, file);
  } else {
    file.path = value.Text();
  }
  if (file.path.empty())
    return value.Bad("needs a path");
  const Surroundings& around = draft.context.around;
  std::string path = ResolvePath(around.directory, around.home, file.path);
  auto text = draft.context.read_file(path);
  if (!text) {
    if (file.required || text.error().code() != Errc::kNotFound)
      value.Bad(Cat("cannot be read: ", text.error().message()));
    return;
  }
  auto variables = ParseEnvFile(*text, draft.context.environment);
  if (!variables)
    return value.Bad(Cat("is broken: ", path, ": ", variables.error().message()));
  for (auto& [name, one] : *variables)
    draft.from_files[name] = std::move(one);
}

void ReadEnvFiles(const Value& value, Draft& draft) {
  if (!value.IsList())
    return ReadOneEnvFile(value, draft);
  for (size_t i = 0; i < value.size(); ++i)
    ReadOneEnvFile(value.Element(i), draft);
}

void ReadPullPolicy(const Value& value, Draft& draft) {
  constexpr std::string_view kPolicies[] = {"always", "build", "if_not_present", "missing",
                                            "never"};
  std::string policy = value.Text();
  if (std::ranges::find(kPolicies, policy) == std::end(kPolicies))
    value.Bad(Cat("cannot be ", policy, "; there are missing, always, never, build"));
  draft.service.pull_policy = policy == "if_not_present" ? "missing" : policy;
}

void ReadScale(const Value& value, Draft& draft) {
  draft.service.scale = value.Number();
  if (draft.service.scale < 0 || draft.service.scale > kMaxScale)
    value.Bad("must be between 0 and 1000");
}

void ReadGracePeriod(const Value& value, Draft& draft) {
  constexpr int64_t kSecond = 1'000'000'000;
  draft.service.config["StopTimeout"] = Cat((value.Nanoseconds() + kSecond - 1) / kSecond);
}

void ReadNetworkMode(const Value& value, Draft& draft) {
  draft.service.network_mode = value.Text();
}

void ReadMacAddress(const Value& value, Draft& draft) {
  draft.service.mac_address = value.Text();
}

constexpr Part kConfig = Part::kConfig;
constexpr Part kHost = Part::kHost;
constexpr Form kOther = Form::kOther;

// Every key that a service may have, sorted.
// clang-format off
constexpr Row kRows[] = {
    {"annotations",         Form::kStringMap,   kHost,   "Annotations",       nullptr},
    {"build",               kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadBuild(v, d.context.around, d.service); }},
    {"cap_add",             Form::kTexts,       kHost,   "CapAdd",            nullptr},
    {"cap_drop",            Form::kTexts,       kHost,   "CapDrop",           nullptr},
    {"cgroup",              Form::kText,        kHost,   "CgroupnsMode",      nullptr},
    {"command",             Form::kCommand,     kConfig, "Cmd",               nullptr},
    {"container_name",      kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.container_name = v.Text(); }},
    {"cpu_period",          Form::kNumber,      kHost,   "CpuPeriod",         nullptr},
    {"cpu_quota",           Form::kNumber,      kHost,   "CpuQuota",          nullptr},
    {"cpu_shares",          Form::kNumber,      kHost,   "CpuShares",         nullptr},
    {"cpus",                Form::kCpus,        kHost,   "NanoCpus",          nullptr},
    {"cpuset",              Form::kText,        kHost,   "CpusetCpus",        nullptr},
    {"depends_on",          kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadDependsOn(v, d.service); }},
    {"deploy",              kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadDeploy(v, d.service); }},
    {"device_cgroup_rules", Form::kTexts,       kHost,   "DeviceCgroupRules", nullptr},
    {"devices",             kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadDevices(v, d.service); }},
    {"dns",                 Form::kTextOrTexts, kHost,   "Dns",               nullptr},
    {"dns_opt",             Form::kTexts,       kHost,   "DnsOptions",        nullptr},
    {"dns_search",          Form::kTextOrTexts, kHost,   "DnsSearch",         nullptr},
    {"domainname",          Form::kText,        kConfig, "Domainname",        nullptr},
    {"entrypoint",          Form::kCommand,     kConfig, "Entrypoint",        nullptr},
    {"env_file",            kOther,             kConfig, "", ReadEnvFiles},
    {"environment",         kOther,             kConfig, "", ReadEnvironment},
    {"expose",              kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadExpose(v, d.service); }},
    {"extra_hosts",         kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadExtraHosts(v, d.service); }},
    {"group_add",           Form::kTexts,       kHost,   "GroupAdd",          nullptr},
    {"healthcheck",         kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadHealthcheck(v, d.service); }},
    {"hostname",            Form::kText,        kConfig, "Hostname",          nullptr},
    {"image",               kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.image = v.Text(); }},
    {"init",                Form::kFlag,        kHost,   "Init",              nullptr},
    {"ipc",                 Form::kOwnNamespace, kHost,  "IpcMode",           nullptr},
    {"labels",              kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.labels = v.Strings(); }},
    {"logging",             kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadLogging(v, d.service); }},
    {"mac_address",         kOther,             kConfig, "", ReadMacAddress},
    {"mem_limit",           Form::kSize,        kHost,   "Memory",            nullptr},
    {"mem_reservation",     Form::kSize,        kHost,   "MemoryReservation", nullptr},
    {"mem_swappiness",      Form::kNumber,      kHost,   "MemorySwappiness",  nullptr},
    {"memswap_limit",       Form::kSize,        kHost,   "MemorySwap",        nullptr},
    {"network_mode",        kOther,             kHost,   "", ReadNetworkMode},
    {"networks",            kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadNetworks(v, d.service); }},
    {"oom_kill_disable",    Form::kFlag,        kHost,   "OomKillDisable",    nullptr},
    {"oom_score_adj",       Form::kNumber,      kHost,   "OomScoreAdj",       nullptr},
    {"pid",                 Form::kOwnNamespace, kHost,  "PidMode",           nullptr},
    {"pids_limit",          Form::kNumber,      kHost,   "PidsLimit",         nullptr},
    {"platform",            kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.platform = v.Text(); }},
    {"ports",               kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadPorts(v, d.service); }},
    {"privileged",          Form::kFlag,        kHost,   "Privileged",        nullptr},
    {"profiles",            kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.profiles = v.Texts(); }},
    {"pull_policy",         kOther,             kConfig, "", ReadPullPolicy},
    {"read_only",           Form::kFlag,        kHost,   "ReadonlyRootfs",    nullptr},
    {"restart",             kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadRestart(v, d.service); }},
    {"scale",               kOther,             kConfig, "", ReadScale},
    {"security_opt",        Form::kTexts,       kHost,   "SecurityOpt",       nullptr},
    {"shm_size",            Form::kSize,        kHost,   "ShmSize",           nullptr},
    {"stdin_open",          kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.stdin_open = v.Flag(); }},
    {"stop_grace_period",   kOther,             kConfig, "", ReadGracePeriod},
    {"stop_signal",         Form::kText,        kConfig, "StopSignal",        nullptr},
    {"storage_opt",         Form::kStringMap,   kHost,   "StorageOpt",        nullptr},
    {"sysctls",             Form::kStringMap,   kHost,   "Sysctls",           nullptr},
    {"tmpfs",               kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadTmpfs(v, d.service); }},
    {"tty",                 kOther,             kConfig, "", [](const Value& v, Draft& d) { d.service.tty = v.Flag(); }},
    {"ulimits",             kOther,             kHost,   "", [](const Value& v, Draft& d) { ReadUlimits(v, d.service); }},
    {"user",                Form::kText,        kConfig, "User",              nullptr},
    {"userns_mode",         Form::kText,        kHost,   "UsernsMode",        nullptr},
    {"uts",                 Form::kText,        kHost,   "UTSMode",           nullptr},
    {"volumes",             kOther,             kConfig, "", [](const Value& v, Draft& d) { ReadVolumes(v, d.context.around, d.service); }},
    {"working_dir",         Form::kText,        kConfig, "WorkingDir",        nullptr},
};
// clang-format on

constexpr bool Sorted() {
  for (size_t i = 1; i < std::size(kRows); ++i) {
    if (kRows[i - 1].key >= kRows[i].key)
      return false;
  }
  return true;
}
static_assert(Sorted());

std::vector<std::string> CommandWords(const Value& value) {
  if (value.IsList())
    return value.Texts();
  auto words = SplitCommand(value.Text());
  if (!words)
    value.Bad(words.error().message());
  return std::move(words).value_or(std::vector<std::string>());
}

std::string OwnNamespace(const Value& value) {
  std::string text = value.Text();
  if (text.starts_with("service:"))
    value.Bad(Cat(text, " is not supported by wherry"));
  return text;
}

void WriteForm(JsonWriter& json, const Value& value, Form form) {
  switch (form) {
    case Form::kText:
      json.String(value.Text());
      break;
    case Form::kFlag:
      json.Bool(value.Flag());
      break;
    case Form::kNumber:
      json.Int(value.Number());
      break;
    case Form::kSize:
      json.Int(value.Size());
      break;
    case Form::kCpus:
      json.Int(value.NanoCpus());
      break;
    case Form::kTexts:
      json.Strings(value.Texts());
      break;
    case Form::kTextOrTexts:
      json.Strings(value.TextOrTexts());
      break;
    case Form::kStringMap:
      json.Object();
      for (const auto& [name, text] : value.Strings())
        json.Field(name, text);
      json.End();
      break;
    case Form::kCommand:
      json.Strings(CommandWords(value));
      break;
    case Form::kOwnNamespace:
      json.String(OwnNamespace(value));
      break;
    case Form::kOther:
      break;
  }
}

void ReadKey(const Value& value, const Row& row, Draft& draft) {
  if (value.node().IsNull())
    return;
  if (row.read != nullptr)
    return row.read(value, draft);
  JsonWriter json;
  WriteForm(json, value, row.form);
  auto& part = row.part == kConfig ? draft.service.config : draft.service.host_config;
  part[std::string(row.member)] = json.Take();
}

}  // namespace

Service ReadService(const Value& value, std::string name, const ServiceContext& context) {
  Draft draft{.service = {}, .context = context, .from_files = {}, .given = {}};
  draft.service.name = std::move(name);
  if (!value.ExpectMap())
    return std::move(draft.service);
  for (size_t i = 0; i < value.size(); ++i) {
    const auto* row =
        std::ranges::lower_bound(kRows, std::string_view(value.Key(i)), {}, &Row::key);
    if (row != std::end(kRows) && row->key == value.Key(i)) {
      ReadKey(value.Member(i), *row, draft);
    } else if (!IsExtension(value.Key(i))) {
      value.Member(i).Unsupported();
    }
  }
  Service& service = draft.service;
  if (service.image.empty() && !service.build)
    value.Bad("needs an image or a build");
  if (!service.container_name.empty() && service.scale > 1)
    value.Bad("has a container_name, so there can be one container only");
  if (!service.network_mode.empty() && !service.networks.empty())
    value.Bad("has network_mode and networks, which exclude each other");
  service.environment = std::move(draft.from_files);
  for (auto& [variable, text] : draft.given)
    service.environment[variable] = std::move(text);
  return std::move(service);
}

Result<std::vector<std::string>> SplitCommand(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;  // a word has begun
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (quote == '\0' && blank) {
      if (open)
        words.push_back(std::move(word));
      word.clear();
      open = false;
      continue;
    }
    open = true;
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      char next = text[++i];
      if (quote == '"' && next != '"' && next != '\\' && next != '$' && next != '`')
        word += '\\';
      word += next;
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    } else {
      word += c;
    }
  }
  if (quote != '\0')
    return Fail(Errc::kInvalid, "has a quote that is not closed");
  if (open)
    words.push_back(std::move(word));
  return words;
}

}  // namespace wherry::compose
