// The changes of a container as the archive of a layer (OCI image-spec v1.1, layer.md), made while
// it is read: nothing is stored in between. The same changes give the same bytes. Names that were
// removed are ".wh." entries; hard links, holes, devices, capabilities and ACLs are kept; times are
// whole seconds. Hostile content. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "store/overlay_changes.h"
#include "store/tar_entry.h"

namespace wherry::store {

class ChangeArchive final : public ByteSource {
 public:
  explicit ChangeArchive(OverlayChanges changes)
      : changes_(std::make_unique<OverlayChanges>(std::move(changes))), layer_(true) {}
  // Of other entries than those of a layer: any name is allowed.
  explicit ChangeArchive(std::unique_ptr<ChangeSource> entries)
      : changes_(std::move(entries)), layer_(false) {}

  // Errors of OverlayChanges; kUnsupported for a name that would be a whiteout in a layer.
  Result<size_t> Read(std::span<std::byte> out) override;
  // Entries so far.
  uint64_t entries() const { return entries_; }

 private:
  Result<> Advance();
  Result<> Begin(const OverlayChange& change);
  Result<> BeginFile(const OverlayChange& change, TarEntry& entry);
  Result<size_t> ReadFile(std::span<std::byte> out);

  std::unique_ptr<ChangeSource> changes_;
  const bool layer_;
  uint64_t entries_ = 0;
  bool ended_ = false;
  std::string text_;  // headers and padding to give out
  size_t given_ = 0;
  // The file whose content comes after them.
  UniqueFd file_;
  std::string path_;
  std::vector<SparseExtent> extents_;  // what is left of it
  size_t extent_ = 0;
  uint64_t content_ = 0;                                        // bytes of all extents
  std::map<std::pair<uint64_t, uint64_t>, std::string> links_;  // files with several names
};

}  // namespace wherry::store
