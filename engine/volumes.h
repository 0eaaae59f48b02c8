// Volumes: directories that outlive containers, <root>/volumes/<name>/:
//   _data        the content
//   volume.json  the record; without it the volume is one whose creation or removal was cut short
//   filling      there while _data is filled with the image's content for the first time: what is
//                found then is not whole, and is removed before it is filled again
// Thread-safe. List and Find only look into memory; the others block: worker threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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

// Whether the next start fills this one.
bool WaitsToBeFilled(const MountRequest& mount);

struct Volume {
  std::string name;
  int64_t created_nanos = 0;  // unix time
  bool anonymous = false;     // made for a container that named none
  std::map<std::string, std::string> labels;
};

class Volumes {
 public:
  // The right to fill some volumes, until it is destroyed.
  class Fill {
   public:
    Fill(Volumes* volumes, std::vector<std::string> names)
        : volumes_(volumes), names_(std::move(names)) {}
    ~Fill() { volumes_->EndFill(names_); }
    Fill(const Fill&) = delete;
    Fill& operator=(const Fill&) = delete;
    // Markers to be removed when the volumes have been filled.
    std::vector<std::string> markers;

   private:
    Volumes* volumes_;
    std::vector<std::string> names_;
  };

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
  // Decides for each volume of the container whether this start fills it; null when it fills none.
  // Waits while another start fills one of them: what that has copied so far is nobody's. kBusy
  // when that takes minutes.
  Result<std::unique_ptr<Fill>> PrepareFill(ContainerConfig& config);

  std::string Directory(std::string_view name) const;
  std::string Mountpoint(std::string_view name) const;

 private:
  Result<> Write(const Volume& volume) const;
  void EndFill(const std::vector<std::string>& names);

  std::string root_;                                    // <root>/volumes
  std::mutex disk_mutex_;                               // held while a volume is made or removed
  mutable std::mutex mutex_;                            // never held during anything that blocks
  std::map<std::string, Volume, std::less<>> volumes_;  // guarded by mutex_
  std::set<std::string, std::less<>> filling_;          // guarded by mutex_
  std::condition_variable filled_;
};

}  // namespace wherry::engine
