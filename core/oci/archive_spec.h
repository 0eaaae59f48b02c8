// Documents of image archives: the manifest.json of Docker's archives, and the manifest that
// stands for an image whose layers are kept uncompressed. Hostile JSON in; no disk, no network.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::oci {

// Names in an archive. OCI image-spec v1.1, image-layout.md; Docker's archives have manifest.json.
inline constexpr const char* kLayoutFile = "oci-layout";
inline constexpr const char* kIndexFile = "index.json";
inline constexpr const char* kDockerFile = "manifest.json";
inline constexpr const char* kBlobDirs[] = {"blobs/", "blobs/sha256/"};
std::string BlobPath(const Digest& digest);  // "blobs/sha256/<hex>"

// One image of a manifest.json. Paths are clean: relative, without "." and "..".
struct DockerImage {
  std::string config;
  std::vector<std::string> tags;  // as written
  std::vector<std::string> layers;
};
// kInvalid for malformed documents, wrong types of members, and paths that lead out of the archive.
Result<std::vector<DockerImage>> ParseDockerFile(std::string_view json);

// `name` of an archive's entry without "./" in front and "/" at the end; empty when it is absolute
// or has "..".
std::string CleanPath(std::string_view name);

struct PlainLayer {
  Digest diff_id;
  uint64_t size = 0;  // of the uncompressed archive
};
// The manifest (kOciManifest) of an image with uncompressed layers, lowest first. The same image
// always gives the same bytes.
std::string PlainManifest(std::string_view config, std::span<const PlainLayer> layers);

// A name for an image in an archive.
struct NamedManifest {
  Digest digest;
  uint64_t size = 0;
  std::string name;  // "docker.io/library/nginx:1"; empty: none
  std::string tag;   // "1"
  std::string media_type{kOciManifest};
};
std::string LayoutJson();
std::string IndexJson(std::span<const NamedManifest> manifests);
std::string DockerFileJson(std::span<const DockerImage> images);

}  // namespace wherry::oci
