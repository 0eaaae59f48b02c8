#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "engine/container_parse.h"
#include "engine/volumes.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kPropagations[] = {"private", "rprivate", "shared",
                                              "rshared", "slave",    "rslave"};

bool IsPropagation(std::string_view word) {
  return std::find(std::begin(kPropagations), std::end(kPropagations), word) !=
         std::end(kPropagations);
}

Result<std::string> CheckedTarget(std::string_view target, std::string_view specification) {
  if (!target.starts_with('/')) {
    return Fail(Errc::kInvalid, Cat("invalid mount config: invalid mount path: '", specification,
                                    "': the path in the container must be absolute"));
  }
  std::string clean = CleanPath(target);
  if (clean == "/") {
    return Fail(Errc::kInvalid, Cat("invalid volume specification: '", specification,
                                    "': invalid specification: destination can't be '/'"));
  }
  return clean;
}

// The third part of -v: comma-separated flags.
Result<> ApplyBindMode(MountRequest& mount, std::string_view mode, std::string_view bind) {
  mount.mode = mode;
  for (std::string_view word : Split(mode, ',')) {
    if (word == "ro") {
      mount.read_only = true;
    } else if (word == "nocopy" && mount.type == MountRequest::Type::kVolume) {
      mount.copy = false;
    } else if (IsPropagation(word)) {
      mount.propagation = word;
    } else if (word != "rw" && word != "z" && word != "Z" && word != "cached" &&
               word != "delegated" && word != "consistent") {
      // z and Z ask for an SELinux label, which is nothing here; the consistency words mean nothing
      // on Linux.
      return Fail(Errc::kInvalid,
                  Cat("invalid mode: ", mode, " in volume specification '", bind, "'"));
    }
  }
  return {};
}

// A volume; its name is known later when it has none.
Result<MountRequest> VolumeMount(std::string_view name, std::string_view target,
                                 std::string_view specification) {
  MountRequest mount;
  mount.type = MountRequest::Type::kVolume;
  mount.target = TRY(CheckedTarget(target, specification));
  mount.anonymous = name.empty();
  if (!name.empty())
    TRY(CheckVolumeName(name));
  mount.volume = name;
  return mount;
}

// "target", "source:target" or "source:target:mode" (-v); a source without slash is a volume.
Result<MountRequest> ParseBind(const std::string& bind) {
  auto parts = Split(bind, ':');
  if (parts.size() == 1)
    return VolumeMount("", parts[0], bind);
  if (parts.size() > 3 || parts[0].empty() || parts[1].empty()) {
    return Fail(Errc::kInvalid, Cat("invalid volume specification: '", bind, "'"));
  }
  MountRequest mount;
  if (!parts[0].starts_with('/')) {
    mount = TRY(VolumeMount(parts[0], parts[1], bind));
  } else {
    mount.source = CleanPath(parts[0]);
    mount.target = TRY(CheckedTarget(parts[1], bind));
    mount.create_source = true;
  }
  if (parts.size() == 3)
    TRY(ApplyBindMode(mount, parts[2], bind));
  return mount;
}

Result<> ParseBindOptions(MountRequest& mount, JsonValue options) {
  if (!options["Propagation"].str().empty()) {
    mount.propagation = options["Propagation"].str();
    if (!IsPropagation(mount.propagation)) {
      return Fail(Errc::kInvalid, Cat("invalid propagation mode: ", mount.propagation));
    }
  }
  mount.recursive = !options["NonRecursive"].boolean();
  mount.create_source = options["CreateMountpoint"].boolean();
  mount.force_recursive = options["ReadOnlyForceRecursive"].boolean();
  mount.read_only_recursive = !options["ReadOnlyNonRecursive"].boolean();
  if (mount.force_recursive && !mount.read_only_recursive) {
    return Fail(Errc::kInvalid,
                "ReadOnlyForceRecursive and ReadOnlyNonRecursive cannot both be set");
  }
  return {};
}

std::string Octal(int64_t value) {
  std::string digits;
  for (uint64_t rest = static_cast<uint64_t>(value) & 07777; rest != 0 || digits.empty();
       rest /= 8) {
    digits.insert(digits.begin(), static_cast<char>('0' + rest % 8));
  }
  return digits;
}

// [["exec"],["size","1m"]]
Result<> ParseTmpfsOptions(MountRequest& mount, JsonValue options) {
  int64_t size = options["SizeBytes"].integer();
  if (size < 0)
    return Fail(Errc::kInvalid, Cat("invalid tmpfs size for ", mount.target));
  if (size > 0)
    mount.options.push_back(Cat("size=", size));
  if (options["Mode"].integer() != 0)
    mount.options.push_back(Cat("mode=", Octal(options["Mode"].integer())));
  for (JsonValue option : options["Options"]) {
    auto words = option.strings();
    if (words.empty() || words.size() > 2)
      return Fail(Errc::kInvalid, "invalid option array length in TmpfsOptions");
    mount.options.push_back(words.size() == 1 ? words[0] : Cat(words[0], "=", words[1]));
  }
  return {};
}

Result<MountRequest> ParseVolumeMount(JsonValue value) {
  JsonValue options = value["VolumeOptions"];
  std::string_view target = value["Target"].str();
  MountRequest mount = TRY(VolumeMount(value["Source"].str(), target, target));
  mount.copy = !options["NoCopy"].boolean();
  if (!options["Subpath"].str().empty())
    return Fail(Errc::kUnsupported, "VolumeOptions.Subpath is not supported in this version");
  std::string_view driver = options["DriverConfig"]["Name"].str();
  if (!driver.empty() && driver != "local") {
    return Fail(Errc::kNotFound, Cat("error looking up volume plugin ", driver, ": plugin \"",
                                     driver, "\" not found"));
  }
  return mount;
}

Result<MountRequest> ParseBindMount(JsonValue value) {
  MountRequest mount;
  mount.target = TRY(CheckedTarget(value["Target"].str(), value["Target"].str()));
  if (!value["Source"].str().starts_with('/')) {
    return Fail(Errc::kInvalid, Cat("invalid mount config for type \"bind\": invalid mount path: '",
                                    value["Source"].str(), "' mount path must be absolute"));
  }
  mount.source = CleanPath(value["Source"].str());
  TRY(ParseBindOptions(mount, value["BindOptions"]));
  return mount;
}

Result<MountRequest> ParseTmpfsMount(JsonValue value) {
  MountRequest mount;
  mount.type = MountRequest::Type::kTmpfs;
  mount.target = TRY(CheckedTarget(value["Target"].str(), value["Target"].str()));
  if (!value["Source"].str().empty()) {
    return Fail(Errc::kInvalid,
                "invalid mount config for type \"tmpfs\": source must not be specified");
  }
  TRY(ParseTmpfsOptions(mount, value["TmpfsOptions"]));
  return mount;
}

struct MountTypeRow {
  std::string_view name;
  Result<MountRequest> (*parse)(JsonValue value);
};
constexpr MountTypeRow kMountTypes[] = {
    {"bind", ParseBindMount},
    {"tmpfs", ParseTmpfsMount},
    {"volume", ParseVolumeMount},
};

// One element of Mounts (--mount).
Result<MountRequest> ParseMount(JsonValue value) {
  std::string_view type = value["Type"].str();
  auto row = std::ranges::find(kMountTypes, type, &MountTypeRow::name);
  if (row == std::end(kMountTypes)) {
    return Fail(
        Errc::kUnsupported,
        Cat("mounts of type \"", type, "\" are not supported in this version (HostConfig.Mounts)"));
  }
  MountRequest mount = TRY(row->parse(value));
  mount.read_only = value["ReadOnly"].boolean();
  return mount;
}

Result<MountRequest> ParseTmpfs(JsonValue entry) {
  MountRequest mount;
  mount.type = MountRequest::Type::kTmpfs;
  mount.target = TRY(CheckedTarget(entry.key(), entry.key()));
  for (std::string_view option : Split(entry.str(), ',')) {
    if (!option.empty())
      mount.options.emplace_back(option);
  }
  return mount;
}

}  // namespace

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string clean;
  for (std::string_view part : kept)
    Append(clean, "/", part);
  return clean.empty() ? "/" : clean;
}

namespace {

// Those of HostConfig first; a volume of Config does not cover what was asked for there.
Result<std::vector<MountRequest>> AllMounts(JsonValue host_config, JsonValue volumes) {
  std::vector<MountRequest> mounts;
  for (const std::string& bind : host_config["Binds"].strings())
    mounts.push_back(TRY(ParseBind(bind)));
  for (JsonValue mount : host_config["Mounts"])
    mounts.push_back(TRY(ParseMount(mount)));
  for (JsonValue tmpfs : host_config["Tmpfs"])
    mounts.push_back(TRY(ParseTmpfs(tmpfs)));
  for (JsonValue volume : volumes) {
    MountRequest mount = TRY(VolumeMount("", volume.key(), volume.key()));
    if (std::ranges::find(mounts, mount.target, &MountRequest::target) == mounts.end())
      mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace

Result<std::vector<std::string>> AnonymousTargets(JsonValue host_config, JsonValue volumes) {
  std::vector<std::string> targets;
  for (const MountRequest& mount : TRY(AllMounts(host_config, volumes))) {
    if (mount.anonymous)
      targets.push_back(mount.target);
  }
  return targets;
}

Result<std::vector<MountRequest>> ParseMounts(JsonValue host_config, JsonValue volumes,
                                              JsonValue names) {
  std::vector<MountRequest> mounts = TRY(AllMounts(host_config, volumes));
  for (MountRequest& mount : mounts) {
    if (mount.anonymous)
      mount.volume = names[mount.target].str();
  }
  // Containers of versions without volumes have none.
  std::erase_if(mounts,
                [](const MountRequest& mount) { return mount.anonymous && mount.volume.empty(); });
  std::set<std::string_view> targets;
  for (const MountRequest& mount : mounts) {
    if (!targets.insert(mount.target).second) {
      return Fail(Errc::kInvalid, Cat("Duplicate mount point: ", mount.target));
    }
  }
  auto depth = [](const MountRequest& mount) {
    return std::count(mount.target.begin(), mount.target.end(), '/');
  };
  std::stable_sort(mounts.begin(), mounts.end(), [&](const MountRequest& a, const MountRequest& b) {
    return depth(a) < depth(b);
  });
  return mounts;
}

}  // namespace wherry::engine
