// Documents of an image: manifest, index, configuration. OCI image-spec v1.1 (manifest.md,
// image-index.md, config.md) and Docker's schema 2 forms of the same. Parsing hostile JSON; nothing
// here touches disk or network. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/layer_parts.h"
#include "core/oci/platform.h"

namespace wherry::oci {

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";

inline constexpr std::string_view kFullNameAnnotation = "io.containerd.image.name";
inline constexpr std::string_view kRefNameAnnotation = "org.opencontainers.image.ref.name";

inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 4 << 20;
inline constexpr size_t kMaxLayers = 127;  // overlayfs and Docker agree on a limit near this

enum class LayerCompression : uint8_t { kNone, kGzip, kZstd };

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
};

struct Layer {
  Descriptor descriptor;
  LayerCompression compression = LayerCompression::kNone;
  std::optional<LayerParts> parts;  // of a zstd layer
};

struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Layer> layers;  // lowest first
};

struct IndexEntry {
  Descriptor descriptor;
  Platform platform;  // all empty when the index does not say
  // Annotations, empty when there are none.
  std::string full_name =
      {};                     // of the image: containerd's and Docker's "docker.io/library/nginx:1"
  std::string ref_name = {};  // the specification's: a tag, or a name of any form
};

struct Index {
  std::string media_type;
  std::vector<IndexEntry> manifests;
};

enum class DocumentKind : uint8_t { kManifest, kIndex };
// What a document is, by its own mediaType and the one the registry gives, which must agree where
// both say something, else by its members. kUnsupported naming schema 1 and unknown types; kInvalid
// for a document that could be read as either (CVE-2021-41190).
Result<DocumentKind> KindOf(std::string_view media_type, std::string_view json);

// `media_type` is what the registry gives. kInvalid for malformed documents, wrong types of
// members, too many members; kUnsupported for layers of unknown or foreign type and for artifacts
// that are no images.
Result<Manifest> ParseManifest(std::string_view json, std::string_view media_type);
Result<Index> ParseIndex(std::string_view json, std::string_view media_type);

// The best manifest of an index for `wanted`, the first of equals; one without platform when
// nothing else is offered. kNotFound says which platforms there are.
Result<Descriptor> SelectManifest(const Index& index, const Platform& wanted);

// What the engine needs of an image's configuration; everything else stays in its JSON.
struct ImageConfig {
  Platform platform;
  std::string created;           // RFC 3339 or empty
  std::vector<Digest> diff_ids;  // lowest layer first
  std::string user;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> volumes;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::map<std::string, std::string> labels;
  std::string healthcheck;  // JSON of Docker's Healthcheck object, or empty
};
// kInvalid for malformed JSON, members of another type than the specification says, and digests
// that are none.
Result<ImageConfig> ParseImageConfig(std::string_view json);

}  // namespace wherry::oci
