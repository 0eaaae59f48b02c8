#include "engine/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/disk_use.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxRecord = 1 << 20;
constexpr size_t kMaxName = 255;
constexpr std::chrono::minutes kFillPatience{5};
constexpr std::string_view kRecordName = "/volume.json";
constexpr std::string_view kDataName = "/_data";
constexpr std::string_view kFillingName = "/filling";
constexpr std::string_view kVolumes = "/volumes";

std::string MarkerOf(const MountRequest& mount) {
  std::string marker = mount.source;
  return marker.replace(marker.size() - kDataName.size(), kDataName.size(), kFillingName);
}

Result<Volume> ReadRecord(const std::string& path, const std::string& name) {
  std::string text = TRY(ReadFile(path, kMaxRecord));
  auto document = TRY(JsonDocument::Parse(text, path));
  Volume volume;
  volume.name = name;
  volume.created_nanos = TRY(ParseRfc3339(document["created"].str()));
  volume.anonymous = document["anonymous"].boolean();
  for (JsonValue label : document["labels"])
    volume.labels[std::string(label.key())] = label.str();
  return volume;
}

Result<> Empty(const std::string& directory) {
  UniqueFd dir = TRY(OpenDir(directory));
  for (const std::string& entry : TRY(ListDirFd(dir.get())))
    TRY(RemoveTreeAt(dir.get(), entry));
  return {};
}

}  // namespace

Result<> CheckVolumeName(std::string_view name) {
  constexpr std::string_view kFirst =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  bool good =
      name.size() >= 2 && name.size() <= kMaxName && kFirst.find(name[0]) != std::string_view::npos;
  for (char c : name)
    good = good && (kFirst.find(c) != std::string_view::npos || c == '_' || c == '.' || c == '-');
  if (good)
    return {};
  return Fail(Errc::kInvalid,
              Cat("create ", name, ": \"", name,
                  "\" includes invalid characters for a local volume name, only "
                  "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
                  "directory, use absolute path"));
}

void LocateVolumes(std::string_view root, ContainerConfig& config) {
  for (MountRequest& mount : config.host.mounts) {
    if (mount.type == MountRequest::Type::kVolume)
      mount.source = Cat(root, kVolumes, "/", mount.volume, kDataName);
  }
}

bool WaitsToBeFilled(const MountRequest& mount) {
  if (mount.type != MountRequest::Type::kVolume || !mount.copy)
    return false;
  auto entries = ListDir(mount.source);
  return PathExists(MarkerOf(mount)) || (entries && entries->empty());
}

Result<> Volumes::Restore() {
  TRY(MakeDirs(root_, 0711));
  for (const std::string& name : TRY(ListDir(root_))) {
    if (!CheckVolumeName(name))
      continue;
    std::string record = Cat(root_, "/", name, kRecordName);
    auto volume = ReadRecord(record, name);
    if (!volume && volume.error().code() == Errc::kNotFound) {
      auto removed = RemoveTree(Directory(name));
      if (!removed)
        LogWarning("cannot remove what is left of volume ", name, ": ", removed.error().message());
      continue;
    }
    if (!volume)
      LogError("volume ", name, " has lost its labels: ", volume.error().message());
    volumes_[name] = volume ? std::move(*volume) : Volume{.name = name, .labels = {}};
  }
  return {};
}

std::vector<Volume> Volumes::List() const {
  std::lock_guard lock(mutex_);
  std::vector<Volume> list;
  for (const auto& [name, volume] : volumes_)
    list.push_back(volume);
  return list;
}

Result<Volume> Volumes::Find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto found = volumes_.find(name);
  if (found == volumes_.end())
    return Fail(Errc::kNotFound, Cat("get ", name, ": no such volume"));
  return found->second;
}

// The record comes last: what has none is removed when the daemon starts.
Result<> Volumes::Write(const Volume& volume) const {
  std::string directory = Directory(volume.name);
  TRY(MakeDirs(Mountpoint(volume.name), 0755));
  if (chmod(directory.c_str(), 0711) != 0)
    return FailSys("chmod", directory);
  JsonWriter json;
  json.Object().Field("version", 1).Field("created", FormatRfc3339Nano(volume.created_nanos));
  json.Field("anonymous", volume.anonymous).Key("labels").Object();
  for (const auto& [name, value] : volume.labels)
    json.Field(name, value);
  json.End().End();
  return ReplaceFile(Cat(directory, kRecordName), Cat(json.text(), "\n"), 0600,
                     Durability::kPersistent);
}

Result<Volume> Volumes::Create(Volume wanted, bool* created) {
  TRY(CheckVolumeName(wanted.name));
  if (created != nullptr)
    *created = false;
  if (auto there = Find(wanted.name))
    return there;
  std::lock_guard disk(disk_mutex_);
  if (auto there = Find(wanted.name))
    return there;
  wanted.created_nanos = UnixNanosNow();
  TRY_CTX(Cat("create volume ", wanted.name), Write(wanted));
  if (created != nullptr)
    *created = true;
  std::lock_guard lock(mutex_);
  return volumes_.emplace(wanted.name, wanted).first->second;
}

Result<> Volumes::Remove(const std::string& name) {
  std::lock_guard disk(disk_mutex_);
  TRY(Find(name));
  std::string record = Cat(Directory(name), kRecordName);
  if (unlink(record.c_str()) != 0 && errno != ENOENT)
    return FailSys("unlink", record);
  {
    std::lock_guard lock(mutex_);
    volumes_.erase(name);
  }
  return RemoveTree(Directory(name));
}

Result<uint64_t> Volumes::Measure(const std::string& name) const {
  return AllocatedBelow(AT_FDCWD, Mountpoint(name));
}

Result<> Volumes::Ensure(const ContainerConfig& config) {
  for (const MountRequest& mount : config.host.mounts) {
    if (mount.type == MountRequest::Type::kVolume)
      TRY(Create({.name = mount.volume, .anonymous = mount.anonymous, .labels = {}}));
  }
  return {};
}

Result<std::unique_ptr<Volumes::Fill>> Volumes::PrepareFill(ContainerConfig& config) {
  std::vector<std::string> names;
  for (const MountRequest& mount : config.host.mounts) {
    if (mount.type == MountRequest::Type::kVolume)
      names.push_back(mount.volume);
  }
  if (names.empty())
    return nullptr;
  {
    std::unique_lock lock(mutex_);
    auto idle = [&] {
      return std::ranges::none_of(names,
                                  [&](const std::string& name) { return filling_.contains(name); });
    };
    if (!filled_.wait_for(lock, kFillPatience, idle)) {
      return Fail(Errc::kBusy,
                  "a volume is still being filled by the start of another container; try again");
    }
    filling_.insert(names.begin(), names.end());
  }
  auto fill = std::make_unique<Fill>(this, std::move(names));
  for (MountRequest& mount : config.host.mounts) {
    if (mount.type != MountRequest::Type::kVolume)
      continue;
    std::string marker = MarkerOf(mount);
    if (PathExists(marker))
      TRY_CTX(Cat("volume ", mount.volume), Empty(mount.source));
    auto entries = TRY_CTX(Cat("volume ", mount.volume), ListDir(mount.source));
    mount.fill = mount.copy && entries.empty();
    if (!mount.fill)
      continue;
    TRY(ReplaceFile(marker, "", 0600, Durability::kPersistent));
    fill->markers.push_back(std::move(marker));
  }
  if (fill->markers.empty())
    fill.reset();
  return fill;
}

void Volumes::EndFill(const std::vector<std::string>& names) {
  {
    std::lock_guard lock(mutex_);
    for (const std::string& name : names)
      filling_.erase(name);
  }
  filled_.notify_all();
}

std::string Volumes::Directory(std::string_view name) const {
  return Cat(root_, "/", name);
}

std::string Volumes::Mountpoint(std::string_view name) const {
  return Cat(root_, "/", name, kDataName);
}

}  // namespace wherry::engine
