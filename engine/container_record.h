// containers/<id>/config.json: the persistent record of a container, written when it is created,
// renamed or updated, and when one that is to be started with the daemon is stopped or started. The
// file is {"sha256":"<64 hex>","container":{...}}\n, the digest being that of the text of the
// member "container". Blocking (flash): worker threads and start-up only. No state.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "engine/container.h"
#include "engine/container_config.h"

namespace wherry::engine {

// {"version":1,"id":"<64 hex>","name":"web","created":"2026-01-02T03:04:05.000000006Z",
// "image_id":"sha256:...","manifest":"sha256:...",
//  "rests":false,"config":{...},"host_config":{...},"networking_config":{...},"volumes":{...}}
struct ContainerRecord {
  std::string id;
  std::string name;
  int64_t created_nanos = 0;
  Digest image_id;
  Digest manifest;
  bool rests = false;  // see engine/restart_policy.h
  NormalisedRequest request;
};

// Beside the record: somebody has copied files into a container that was never started, so that its
// upper directory does not tell that it was.
inline constexpr char kUnstartedMarker[] = "unstarted";

ContainerRecord RecordOf(const Container& container);

// Makes `directory` when absent and replaces its config.json durably.
Result<> SaveRecord(const std::string& directory, const ContainerRecord& record);

// kNotFound without a file; kCorrupt when the text does not match its digest, is malformed, or is
// the record of another container than the directory's name says.
Result<ContainerRecord> LoadRecord(const std::string& directory, std::string_view id);

// Removes the record first, then everything else, so that an interrupted removal is finished at the
// next start.
Result<> RemoveContainerFiles(const std::string& directory, const std::string& run_directory);

}  // namespace wherry::engine
