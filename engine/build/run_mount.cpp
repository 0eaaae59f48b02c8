#include "engine/build/run_mount.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr std::string_view kTypes[] = {"bind", "cache", "tmpfs", "secret", "ssh"};
constexpr std::string_view kSharings[] = {"shared", "private", "locked"};

// Fields of comma separated values; one that begins with a quote may have commas inside.
Result<std::vector<std::string>> Fields(std::string_view text) {
  std::vector<std::string> fields;
  for (;;) {
    std::string field;
    if (text.starts_with('"')) {
      size_t i = 1;
      while (i < text.size() && (text[i] != '"' || text.substr(i + 1).starts_with('"'))) {
        field.push_back(text[i]);
        i += text[i] == '"' ? 2 : 1;
      }
      if (i >= text.size() || (i + 1 < text.size() && text[i + 1] != ','))
        return Invalid({"failed to parse csv mounts: a quote is not where a field ends"});
      text.remove_prefix(i + 1);
    } else {
      size_t end = std::min(text.find(','), text.size());
      field = text.substr(0, end);
      text.remove_prefix(end);
    }
    fields.push_back(std::move(field));
    if (text.empty())
      return fields;
    text.remove_prefix(1);
  }
}

// A member as written; what it is lives in the row of kKeys.
struct Field {
  std::string_view key;
  std::string value;
  bool has_value;
};

struct Draft {
  Mount mount;
  std::optional<bool> read_only;
  bool shares = false;
};

std::unexpected<Error> BadValue(const Field& field) {
  return Invalid({"invalid value for ", field.key, ": ", Shown(field.value)});
}

std::unexpected<Error> WrongType(const Field& field, Mount::Type type) {
  return Invalid({"unexpected key '", field.key, "' for mount type '", MountTypeName(type), "'"});
}

// Go's notation; a key alone is true.
Result<bool> Boolean(const Field& field) {
  constexpr std::string_view kTrue[] = {"1", "t", "T", "TRUE", "true", "True"};
  constexpr std::string_view kFalse[] = {"0", "f", "F", "FALSE", "false", "False"};
  if (!field.has_value || IndexOf(kTrue, field.value))
    return true;
  if (IndexOf(kFalse, field.value))
    return false;
  return BadValue(field);
}

Result<uint32_t> Number(const Field& field) {
  auto number = ParseUint(field.value);
  if (!number || *number > UINT32_MAX)
    return BadValue(field);
  return static_cast<uint32_t>(*number);
}

Result<> SetType(const Field& field, Draft& draft) {
  auto found = IndexOf(kTypes, ToLower(field.value));
  if (!found)
    return Invalid({"unsupported mount type \"", Shown(field.value), "\""});
  draft.mount.type = static_cast<Mount::Type>(*found);
  return {};
}

Result<> SetSharing(const Field& field, Draft& draft) {
  auto found = IndexOf(kSharings, ToLower(field.value));
  if (!found)
    return Invalid({"unsupported sharing value \"", Shown(field.value), "\""});
  draft.mount.sharing = static_cast<Mount::Sharing>(*found);
  draft.shares = true;
  return {};
}

template <std::string Mount::* kMember>
Result<> SetText(const Field& field, Draft& draft) {
  draft.mount.*kMember = field.value;
  return {};
}

template <std::optional<uint32_t> Mount::* kMember>
Result<> SetNumber(const Field& field, Draft& draft) {
  draft.mount.*kMember = TRY(Number(field));
  return {};
}

Result<> SetReadOnly(const Field& field, Draft& draft) {
  draft.read_only = TRY(Boolean(field));
  return {};
}

Result<> SetReadWrite(const Field& field, Draft& draft) {
  draft.read_only = !TRY(Boolean(field));
  return {};
}

Result<> SetRequired(const Field& field, Draft& draft) {
  if (draft.mount.type != Mount::Type::kSecret && draft.mount.type != Mount::Type::kSsh)
    return WrongType(field, draft.mount.type);
  draft.mount.required = TRY(Boolean(field));
  return {};
}

Result<> SetSize(const Field& field, Draft& draft) {
  if (draft.mount.type != Mount::Type::kTmpfs)
    return WrongType(field, draft.mount.type);
  auto size = ParseSize(field.value);
  if (!size)
    return BadValue(field);
  draft.mount.size_bytes = *size;
  return {};
}

Result<> SetMode(const Field& field, Draft& draft) {
  auto mode = ParseOctal(field.value);
  if (!mode)
    return BadValue(field);
  draft.mount.mode = *mode;
  return {};
}

Result<> SetEnv(const Field& field, Draft& draft) {
  draft.mount.env = field.value;
  return {};
}

struct Key {
  std::string_view name;
  bool needs_value;
  Result<> (*set)(const Field& field, Draft& draft);
};
// clang-format off
constexpr Key kKeys[] = {
    {"type",        true,  &SetType},
    {"from",        true,  &SetText<&Mount::from>},
    {"source",      true,  &SetText<&Mount::source>},
    {"src",         true,  &SetText<&Mount::source>},
    {"target",      true,  &SetText<&Mount::target>},
    {"dst",         true,  &SetText<&Mount::target>},
    {"destination", true,  &SetText<&Mount::target>},
    {"id",          true,  &SetText<&Mount::id>},
    {"readonly",    false, &SetReadOnly},
    {"ro",          false, &SetReadOnly},
    {"readwrite",   false, &SetReadWrite},
    {"rw",          false, &SetReadWrite},
    {"required",    false, &SetRequired},
    {"size",        true,  &SetSize},
    {"sharing",     true,  &SetSharing},
    {"mode",        true,  &SetMode},
    {"uid",         true,  &SetNumber<&Mount::uid>},
    {"gid",         true,  &SetNumber<&Mount::gid>},
    {"env",         true,  &SetEnv},
};
// clang-format on

Result<const Key*> FindKey(const std::string& field, Field& out) {
  auto pair = SplitFirst(field, '=');
  std::string name = ToLower(pair ? pair->head : std::string_view(field));
  const Key* key = std::find_if(std::begin(kKeys), std::end(kKeys),
                                [&](const Key& row) { return row.name == name; });
  if (key == std::end(kKeys))
    return Invalid({"unexpected key '", Shown(name), "' in '", Shown(field), "'"});
  if (key->needs_value && !pair)
    return Invalid({"invalid field '", Shown(field), "' must be a key=value pair"});
  out = {key->name, std::string(pair ? pair->tail : std::string_view()), pair.has_value()};
  return key;
}

Result<> CheckSecret(const Mount& mount) {
  if (!mount.from.empty())
    return Invalid({"secret mount should not have a from"});
  if (mount.source.empty() && mount.target.empty() && mount.id.empty())
    return Invalid({"invalid secret mount. one of source, target required"});
  if (!mount.source.empty() && !mount.id.empty())
    return Invalid({"both source and id can't be set"});
  return {};
}

Result<> CheckDraft(const Draft& draft) {
  using Type = Mount::Type;
  const Mount& mount = draft.mount;
  std::string_view type = MountTypeName(mount.type);
  bool owned = mount.type != Type::kBind && mount.type != Type::kTmpfs;
  if (!owned && (mount.mode || mount.uid || mount.gid))
    return Invalid({mount.mode  ? "mode"
                    : mount.uid ? "uid"
                                : "gid",
                    " not allowed for \"", type, "\" type mounts"});
  if (draft.shares && mount.type != Type::kCache)
    return Invalid({"invalid cache sharing set for ", type, " mount"});
  return mount.type == Type::kSecret ? CheckSecret(mount) : Result<>();
}

}  // namespace

std::string_view MountTypeName(Mount::Type type) {
  return kTypes[static_cast<size_t>(type)];
}

Result<Mount> ParseMount(std::string_view text, const Variables& variables, char escape) {
  Draft draft;
  for (const std::string& written : TRY(Fields(text))) {
    Field field;
    const Key* key = TRY(FindKey(written, field));
    if (key->name != "from")
      field.value = TRY(ExpandWord(field.value, variables, {.escape = escape}));
    TRY(key->set(field, draft));
  }
  TRY(CheckDraft(draft));
  bool writable =
      draft.mount.type == Mount::Type::kCache || draft.mount.type == Mount::Type::kTmpfs;
  draft.mount.read_only = draft.read_only.value_or(!writable);
  return std::move(draft.mount);
}

Result<> CheckMount(std::string_view text) {
  bool variables = text.find('$') != std::string_view::npos;
  for (const std::string& written : TRY(Fields(text))) {
    Field field;
    const Key* key = TRY(FindKey(written, field));
    if (key->name == "from" && field.value.find('$') != std::string::npos)
      return Invalid({"'from' doesn't support variable expansion, define alias stage instead"});
  }
  if (!variables)
    TRY(ParseMount(text, Variables(), '\\'));
  return {};
}

std::string MountOrigin(std::string_view text) {
  std::string origin;
  auto fields = Fields(text);
  if (!fields)
    return origin;
  for (const std::string& written : *fields) {
    Field field;
    auto key = FindKey(written, field);
    if (key && (*key)->name == "from")
      origin = field.value;
  }
  return origin;
}

}  // namespace wherry::build
