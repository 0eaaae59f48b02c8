// OCI image layouts on disk (image-spec, image-layout.md), as skopeo and others write them: reading
// an image of one, writing one with deltas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/delta_spec.h"
#include "core/oci/image_spec.h"
#include "core/oci/platform.h"

namespace wherry::cli {

class FileSource final : public ByteSource {
 public:
  explicit FileSource(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  UniqueFd fd_;
};

struct LayoutImage {
  oci::Descriptor descriptor;  // of the manifest
  oci::Manifest manifest;
  oci::ImageConfig config;  // as many diffIDs as the manifest has layers
};

class Layout {
 public:
  // "DIRECTORY" or "DIRECTORY:TAG"; without a tag there must be one image only.
  explicit Layout(std::string_view name);
  Result<LayoutImage> Image(const oci::Platform& platform) const;
  Result<std::unique_ptr<ByteSource>> OpenBlob(const Digest& digest) const;

 private:
  Result<std::string> ReadBlob(const oci::Descriptor& descriptor) const;
  Result<oci::Descriptor> Find() const;

  std::string directory_;
  std::string tag_;
};

// A blob that is being written.
class LayoutBlob {
 public:
  explicit LayoutBlob(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<> Write(std::span<const std::byte> bytes);
  uint64_t size() const { return size_; }
  Result<UniqueFd> Reopen() const;

 private:
  friend class LayoutWriter;
  UniqueFd fd_;  // without a name
  Hasher hasher_;
  uint64_t size_ = 0;
};

class LayoutWriter {
 public:
  // Makes the directory, which must not be there.
  static Result<LayoutWriter> Create(const std::string& directory);
  // A file without a name, for the time being.
  Result<UniqueFd> Scratch() const;
  Result<LayoutBlob> BeginBlob() const;
  Result<oci::Descriptor> Keep(LayoutBlob blob, std::string_view media_type) const;
  // The delta manifest and the index that has the tag for both.
  Result<> Finish(const LayoutImage& target, const std::vector<oci::LayerDelta>& deltas) const;

 private:
  explicit LayoutWriter(std::string directory) : directory_(std::move(directory)) {}
  Result<oci::Descriptor> Put(std::string_view content, std::string_view media_type) const;

  std::string directory_;
};

}  // namespace wherry::cli
