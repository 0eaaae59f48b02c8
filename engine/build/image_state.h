// The configuration of an image while it is built: what an image's JSON says, changed step by step,
// and JSON again. OCI image-spec v1.1 config.md with Docker's OnBuild, Shell and Healthcheck.
// Hostile JSON; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::build {

struct HistoryEntry {
  std::string created;  // RFC 3339
  std::string created_by;
  std::string comment;
  std::string author;
  bool empty_layer = false;
};

struct ImageState {
  oci::ImageConfig config;         // volumes and exposed_ports are sorted sets
  std::vector<std::string> shell;  // of the shell form; empty: /bin/sh -c
  std::vector<std::string> on_build;
  std::string author;
  std::vector<HistoryEntry> history;
};

// The base image's. Members that are not named here are lost, as they are in Docker.
Result<ImageState> ParseImageState(std::string_view json);
// What FROM scratch begins with.
ImageState ScratchImage(const oci::Platform& platform);
// `created` is RFC 3339. kInvalid when the result is larger than an image's configuration may be.
Result<std::string> WriteImageState(const ImageState& state, std::string_view created);

}  // namespace wherry::build
