// Copying between the outside and the file system of a container (docker cp, docker export).
// Worker.
//
// A running container is reached through the root of its first process, with all that is mounted
// there; of one that does not run its own tree is mounted aside, with its volumes and binds. Every
// path is resolved inside that root.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "core/base/id_map.h"
#include "core/base/result.h"
#include "core/sys/process.h"
#include "engine/container.h"
#include "engine/images.h"
#include "engine/volumes.h"

namespace wherry::engine {

// What of a container is looked at, without touching what the loop owns. A container that does not
// run must be locked meanwhile (Containers::Lock).
struct CopyTarget {
  Images* images = nullptr;
  Volumes* volumes = nullptr;
  std::string id;
  std::string directory;
  Digest manifest;
  std::shared_ptr<const ContainerConfig> config;
  std::shared_ptr<ImagePin> pin;
  sys::PidFd init;  // empty: it does not run
};
CopyTarget CopyTargetOf(const Container& container, Images& images, Volumes& volumes);

// What is at a path.
struct PathStat {
  std::string name;  // its last component, "/" or "."
  uint64_t size = 0;
  uint32_t mode = 0;  // st_mode
  int64_t mtime_nanos = 0;
  std::string link_target;  // of a symbolic link
};

// A file, link or directory of a container, opened to be read.
class CopySource {
 public:
  // kNotFound "Could not find the file x in container y". A path that ends in "/" or "/." means
  // what a link there leads to.
  static Result<CopySource> Open(const CopyTarget& target, const std::string& path);
  const PathStat& stat() const { return stat_; }
  // As an archive whose names begin with stat().name. Once.
  std::unique_ptr<ByteSource> Archive() &&;

 private:
  PathStat stat_;
  UniqueFd root_;  // holds what is mounted in it
  UniqueFd parent_;
  std::string node_;
  std::optional<IdMaps> ids_;  // of a container in a user namespace
};

struct CopyOptions {
  bool keep_kinds = false;   // see store::ExtractOptions
  bool users_files = false;  // they become the container's user's, not whose the archive says
};
// Unpacks `archive` in the directory `path`. kNotFound when that is not there, kInvalid when it is
// no directory, kDenied in a read-only root, kConflict when the container ends meanwhile.
Result<> CopyInto(const CopyTarget& target, const std::string& path, ByteSource& archive,
                  const CopyOptions& options);

// All a container has, without what is mounted in it.
Result<std::unique_ptr<ByteSource>> ExportContainer(const CopyTarget& target);

}  // namespace wherry::engine
