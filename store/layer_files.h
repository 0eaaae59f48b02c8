// The content of a layer's files, by path and from any place in it: what a delta takes its bytes
// from. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/layer_tree.h"
#include "store/objects.h"

namespace wherry::store {

class LayerFile {
 public:
  LayerFile() = default;
  explicit LayerFile(std::string content) : content_(std::move(content)), size_(content_.size()) {}
  // `size`: as many bytes as the open file `fd` has.
  LayerFile(UniqueFd fd, uint64_t size) : fd_(std::move(fd)), size_(size) {}

  uint64_t size() const { return size_; }
  // All of `out`, which must lie inside the file.
  Result<> ReadAt(uint64_t offset, std::span<std::byte> out) const;

 private:
  UniqueFd fd_;
  std::string content_;  // without fd_
  uint64_t size_ = 0;
};

class LayerFiles {
 public:
  virtual ~LayerFiles() = default;
  // A regular file by its name in the archive; "./" in front does not count. kNotFound without the
  // path in the message.
  virtual Result<LayerFile> Open(std::string_view path) = 0;
};

// Of a layer in the store. `objects` must outlive this, and the layer must stay.
class StoredLayerFiles final : public LayerFiles {
 public:
  StoredLayerFiles(LayerTree tree, const Objects& objects)
      : tree_(std::move(tree)), objects_(objects) {}
  Result<LayerFile> Open(std::string_view path) override;

 private:
  LayerTree tree_;
  const Objects& objects_;
};

}  // namespace wherry::store
