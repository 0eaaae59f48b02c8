#include "core/oci/runtime_spec.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/oci/spec_process.h"
#include "core/oci/spec_reader.h"
#include "core/oci/spec_resources.h"
#include "core/oci/spec_scheduling.h"

namespace wherry::oci {

namespace {

struct NamespaceRow {
  std::string_view name;
  NamespaceType type;
};
constexpr NamespaceRow kNamespaces[] = {
    {"mount", NamespaceType::kMount},     {"pid", NamespaceType::kPid},
    {"network", NamespaceType::kNetwork}, {"ipc", NamespaceType::kIpc},
    {"uts", NamespaceType::kUts},         {"cgroup", NamespaceType::kCgroup},
    {"user", NamespaceType::kUser},       {"time", NamespaceType::kTime},
};

struct PropagationRow {
  std::string_view name;
  Propagation propagation;
  bool recursive;
};
constexpr PropagationRow kPropagations[] = {
    {"private", Propagation::kPrivate, false},
    {"rprivate", Propagation::kPrivate, true},
    {"slave", Propagation::kSlave, false},
    {"rslave", Propagation::kSlave, true},
    {"shared", Propagation::kShared, false},
    {"rshared", Propagation::kShared, true},
    {"unbindable", Propagation::kUnbindable, false},
    {"runbindable", Propagation::kUnbindable, true},
};

// Members of the specification that would change the container and that this version does not
// implement.
constexpr std::string_view kUnsupportedMembers[][2] = {
    {"linux", "intelRdt"}, {"", "solaris"}, {"", "windows"}, {"", "vm"},
    {"", "zos"},           {"", "freebsd"},
};

Result<> RefuseUnsupported(const Field& root) {
  for (const auto& row : kUnsupportedMembers) {
    Field field = row[0].empty() ? root[row[1]] : root[row[0]][row[1]];
    if (field.AsksForSomething())
      return field.Unsupported();
  }
  return {};
}

struct HookRow {
  std::string_view name;
  std::vector<Hook> Hooks::* list;
};
constexpr HookRow kHooks[] = {
    {"prestart", &Hooks::prestart},
    {"createRuntime", &Hooks::create_runtime},
    {"createContainer", &Hooks::create_container},
    {"startContainer", &Hooks::start_container},
    {"poststart", &Hooks::poststart},
    {"poststop", &Hooks::poststop},
};

Result<> ReadHookList(const Field& field, std::vector<Hook>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    Hook hook;
    hook.path = TRY(element["path"].AbsolutePath());
    hook.args = TRY(element["args"].Texts());
    if (element["env"])
      hook.env = TRY(element["env"].Environment());
    TRY(element["timeout"].Store(hook.timeout_seconds, 1, 86400));
    out.push_back(std::move(hook));
  }
  return {};
}

Result<> ReadHooks(const Field& field, Hooks& hooks) {
  std::vector<Field> members = TRY(field.Members());
  for (const Field& member : members) {
    auto row = std::ranges::find(kHooks, member.key(), &HookRow::name);
    if (row != std::end(kHooks)) {
      TRY(ReadHookList(member, hooks.*row->list));
    } else if (member.AsksForSomething()) {
      return member.Unsupported();
    }
  }
  return {};
}

Result<> ReadIdMap(const Field& field, IdMap& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    IdRange range;
    range.inside = static_cast<uint32_t>(TRY(element["containerID"].Number(0, kMaxId)));
    range.outside = static_cast<uint32_t>(TRY(element["hostID"].Number(0, kMaxId)));
    int64_t most = kMaxId + 1 - std::max(range.inside, range.outside);
    range.count = static_cast<uint32_t>(TRY(element["size"].Number(1, most)));
    out.push_back(range);
  }
  return {};
}

Result<> ReadTimeOffsets(const Field& field, std::vector<TimeOffset>& out) {
  std::vector<Field> members = TRY(field.Members());
  for (const Field& member : members) {
    if (member.key() != "monotonic" && member.key() != "boottime")
      return member.Bad("names no clock: only monotonic and boottime have offsets");
    TRY(member.ExpectObject());
    TimeOffset offset;
    offset.clock = member.key();
    TRY(member["secs"].Store(offset.seconds, INT32_MIN, INT32_MAX));
    TRY(member["nanosecs"].Store(offset.nanoseconds, 0, 999999999));
    out.push_back(std::move(offset));
  }
  return {};
}

Result<> ReadMounts(const Field& field, std::vector<Mount>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    Mount mount;
    mount.destination = TRY(element["destination"].AbsolutePath());
    mount.type = TRY(element["type"].Text());
    mount.source = TRY(element["source"].Text());
    mount.options = TRY(element["options"].Texts());
    TRY(ReadIdMap(element["uidMappings"], mount.uid_mappings));
    TRY(ReadIdMap(element["gidMappings"], mount.gid_mappings));
    if (mount.uid_mappings.empty() != mount.gid_mappings.empty())
      return element.Bad("needs uidMappings and gidMappings, or none of them");
    out.push_back(std::move(mount));
  }
  return {};
}

Result<> ReadNamespaces(const Field& field, std::vector<Namespace>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    std::string name = TRY(element["type"].Text());
    auto row = std::ranges::find(kNamespaces, name, &NamespaceRow::name);
    if (row == std::end(kNamespaces))
      return element["type"].Bad(Cat("names no namespace: ", name));
    if (std::ranges::find(out, row->type, &Namespace::type) != out.end())
      return element.Bad(Cat("repeats ", name));
    Namespace entry;
    entry.type = row->type;
    entry.path = TRY(element["path"].Text());
    if (!entry.path.empty() && !entry.path.starts_with('/'))
      return element["path"].Bad("must be an absolute path");
    out.push_back(std::move(entry));
  }
  return {};
}

Result<> ReadDevices(const Field& field, std::vector<Device>& out) {
  std::vector<Field> elements = TRY(field.Elements());
  for (const Field& element : elements) {
    TRY(element.ExpectObject());
    Device device;
    device.path = TRY(element["path"].AbsolutePath());
    std::string type = TRY(element["type"].Text());
    if (type.size() != 1 || std::string_view("cubp").find(type[0]) == std::string_view::npos) {
      return element["type"].Bad("must be c, u, b or p");
    }
    device.type = type[0];
    if (device.type != 'p') {
      device.major = static_cast<uint32_t>(TRY(element["major"].Number(0, 4095)));
      device.minor = static_cast<uint32_t>(TRY(element["minor"].Number(0, 1048575)));
    }
    TRY(element["fileMode"].Store(device.file_mode, 0, 0177777));
    device.file_mode &= 07777;
    TRY(element["uid"].Store(device.uid, 0, kMaxId));
    TRY(element["gid"].Store(device.gid, 0, kMaxId));
    out.push_back(std::move(device));
  }
  return {};
}

Result<> CheckDeviceName(const Field& field, const std::string& name) {
  constexpr size_t kMost = 15;  // the kernel's IFNAMSIZ
  bool possible =
      !name.empty() && name.size() <= kMost && name != "." && name != ".." &&
      std::ranges::none_of(name, [](char c) { return c == '/' || c == ':' || c <= ' '; });
  return possible ? Result<>() : field.Bad(Cat("names no network device: \"", name, "\""));
}

Result<> ReadNetDevices(const Field& field, std::vector<NetDevice>& out) {
  std::vector<Field> members = TRY(field.Members());
  for (const Field& member : members) {
    TRY(member.ExpectObject());
    NetDevice device;
    device.name = member.key();
    device.inside = TRY(member["name"].Text());
    if (device.inside.empty())
      device.inside = device.name;
    TRY(CheckDeviceName(member, device.name));
    TRY(CheckDeviceName(member["name"], device.inside));
    out.push_back(std::move(device));
  }
  return {};
}

Result<> ReadRootfsPropagation(const Field& field, RuntimeSpec& spec) {
  std::string name = TRY(field.Text());
  if (name.empty())
    return {};
  auto row = std::ranges::find(kPropagations, name, &PropagationRow::name);
  if (row == std::end(kPropagations))
    return field.Bad(Cat("names no propagation: ", name));
  spec.rootfs_propagation = row->propagation;
  spec.rootfs_propagation_recursive = row->recursive;
  return {};
}

Result<> ReadLinux(const Field& field, RuntimeSpec& spec) {
  TRY(field.ExpectObject());
  TRY(ReadNamespaces(field["namespaces"], spec.namespaces));
  TRY(ReadIdMap(field["uidMappings"], spec.uid_mappings));
  TRY(ReadIdMap(field["gidMappings"], spec.gid_mappings));
  TRY(ReadTimeOffsets(field["timeOffsets"], spec.time_offsets));
  TRY(ReadDevices(field["devices"], spec.devices));
  TRY(ReadNetDevices(field["netDevices"], spec.net_devices));
  spec.cgroups_path = TRY(field["cgroupsPath"].Text());
  TRY(ReadResources(field["resources"], spec.resources));
  spec.sysctl = TRY(field["sysctl"].TextMap());
  if (field["seccomp"]) {
    TRY(field["seccomp"].ExpectObject());
    spec.seccomp = field["seccomp"].value().Dump();
    spec.seccomp_listener.path = TRY(field["seccomp"]["listenerPath"].Text());
    spec.seccomp_listener.metadata = TRY(field["seccomp"]["listenerMetadata"].Text());
  }
  TRY(ReadRootfsPropagation(field["rootfsPropagation"], spec));
  TRY(ReadPersonality(field["personality"], spec.personality));
  TRY(ReadMemoryPolicy(field["memoryPolicy"], spec.memory_policy));
  spec.mount_label = TRY(field["mountLabel"].Text());
  spec.masked_paths = TRY(field["maskedPaths"].Texts());
  spec.readonly_paths = TRY(field["readonlyPaths"].Texts());
  return {};
}

// Some callers give maps to a namespace that is joined, too, which has its own.
Result<> CheckIdMaps(RuntimeSpec& spec) {
  const Namespace* user = spec.FindNamespace(NamespaceType::kUser);
  bool has_some = !spec.uid_mappings.empty() || !spec.gid_mappings.empty();
  if (user == nullptr && has_some) {
    return Fail(Errc::kInvalid,
                "config.json: linux.uidMappings and gidMappings need a user namespace");
  }
  if (user != nullptr && !user->path.empty()) {
    spec.uid_mappings.clear();
    spec.gid_mappings.clear();
  } else if (user != nullptr && spec.uid_mappings.empty() != spec.gid_mappings.empty()) {
    return Fail(Errc::kInvalid,
                "config.json: a new user namespace needs linux.uidMappings and gidMappings, or "
                "none of them");
  }
  return {};
}

// What only makes sense together.
Result<> CheckWhole(RuntimeSpec& spec) {
  TRY(CheckIdMaps(spec));
  if (!spec.net_devices.empty() && spec.FindNamespace(NamespaceType::kNetwork) == nullptr)
    return Fail(Errc::kInvalid, "config.json: linux.netDevices need a network namespace");
  if (!spec.time_offsets.empty() && !spec.MakesNamespace(NamespaceType::kTime))
    return Fail(Errc::kInvalid, "config.json: linux.timeOffsets need a new time namespace");
  if (spec.FindNamespace(NamespaceType::kMount) == nullptr) {
    return Fail(Errc::kUnsupported,
                "config.json: a container without its own mount namespace is not supported");
  }
  if ((!spec.hostname.empty() || !spec.domainname.empty()) &&
      spec.FindNamespace(NamespaceType::kUts) == nullptr) {
    return Fail(Errc::kInvalid, "config.json: hostname and domainname need a uts namespace");
  }
  constexpr size_t kMaxName = 64;  // the kernel's __NEW_UTS_LEN
  if (spec.hostname.size() > kMaxName || spec.domainname.size() > kMaxName)
    return Fail(Errc::kInvalid, "config.json: hostname and domainname may have 64 bytes each");
  return {};
}

}  // namespace

std::string_view NamespaceName(NamespaceType type) {
  return std::ranges::find(kNamespaces, type, &NamespaceRow::type)->name;
}

bool Hooks::empty() const {
  return std::ranges::all_of(kHooks,
                             [this](const HookRow& row) { return (this->*row.list).empty(); });
}

const Namespace* RuntimeSpec::FindNamespace(NamespaceType type) const {
  auto found = std::ranges::find(namespaces, type, &Namespace::type);
  return found == namespaces.end() ? nullptr : &*found;
}

bool RuntimeSpec::MakesNamespace(NamespaceType type) const {
  const Namespace* found = FindNamespace(type);
  return found != nullptr && found->path.empty();
}

Result<RuntimeSpec> RuntimeSpec::Parse(std::string_view json) {
  JsonDocument document = TRY(JsonDocument::Parse(json, "config.json"));
  const JsonValue top = document.root();
  if (!top.IsObject())
    return Fail(Errc::kInvalid, "config.json must be a JSON object");
  Field root(top);
  RuntimeSpec spec;
  spec.oci_version = TRY(root["ociVersion"].Text());
  if (!spec.oci_version.starts_with("1."))
    return root["ociVersion"].Bad("must be 1.x");
  TRY(RefuseUnsupported(root));
  TRY(ReadProcess(root["process"], spec.process));
  if (!root["root"])
    return root["root"].Bad("is missing");
  TRY(root["root"].ExpectObject());
  spec.root_path = TRY(root["root"]["path"].Text());
  if (spec.root_path.empty())
    return root["root"]["path"].Bad("is missing");
  spec.root_readonly = TRY(root["root"]["readonly"].Flag());
  spec.hostname = TRY(root["hostname"].Text());
  spec.domainname = TRY(root["domainname"].Text());
  TRY(ReadMounts(root["mounts"], spec.mounts));
  spec.annotations = TRY(root["annotations"].TextMap());
  TRY(ReadHooks(root["hooks"], spec.hooks));
  TRY(ReadLinux(root["linux"], spec));
  TRY(CheckWhole(spec));
  return spec;
}

Result<LinuxResources> ParseResources(std::string_view json) {
  JsonDocument document = TRY(JsonDocument::Parse(json, "resources"));
  const JsonValue top = document.root();
  Field root(top, "resources");
  TRY(root.ExpectObject());
  LinuxResources resources;
  TRY(ReadResources(root, resources));
  return resources;
}

}  // namespace wherry::oci
