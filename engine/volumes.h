// Volumes: directories that outlive containers, <root>/volumes/<name>/:
//   _data        the content
//   volume.json  the record; without it the volume is one whose creation or removal was cut short
//   filling      there while _data is filled with the image's content for the first time: what is
//                found then is not whole, and is removed before it is filled again
// Thread-safe. Methods that touch the disk block: worker threads.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/container_config.h"

namespace wherry::engine {

// kInvalid in Docker's words unless [a-zA-Z0-9][a-zA-Z0-9_.-]+, 255 characters at most.
Result<> CheckVolumeName(std::string_view name);

// Fills in the sources of the mounts that are volumes. `root`: the daemon's root directory.
void LocateVolumes(std::string_view root, ContainerConfig& config);

struct Volume {
  std::string name;
  int64_t created_nanos = 0;  // unix time
  bool anonymous = false;     // made for a container that named none
  std::map<std::string, std::string> labels;
};

class Volumes {
 public:
  explicit Volumes(std::string root) : root_(std::move(root)) {}

  // Once, before anything else: reads all records, removes what was cut short. A damaged record
  // costs its labels and a line in the log, never the content.
  Result<> Restore();

  std::vector<Volume> List() const;  // by name
  // kNotFound "get x: no such volume".
  Result<Volume> Find(std::string_view name) const;
  // Returns the one that exists when there is one.
  Result<Volume> Create(Volume wanted, bool* created = nullptr);
  // REQUIRES: no container uses it.
  Result<> Remove(const std::string& name);
  // Allocated bytes of the content.
  Result<uint64_t> Measure(const std::string& name) const;

  // Makes those volumes of a container that do not exist yet.
  Result<> Ensure(const ContainerConfig& config);
  // Decides for each volume of the container whether this start fills it; returns the markers to be
  // removed when that is done.
  static Result<std::vector<std::string>> PrepareFill(ContainerConfig& config);

  std::string Directory(std::string_view name) const;
  std::string Mountpoint(std::string_view name) const;

 private:
  Result<> Write(const Volume& volume) const;

  std::string root_;  // <root>/volumes
  mutable std::mutex mutex_;
  std::map<std::string, Volume, std::less<>> volumes_;  // guarded by mutex_
};

}  // namespace wherry::engine
