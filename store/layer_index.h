// What a layer contains, as it is kept on flash: layer/<diffID>.idx. Everything else that the store
// makes of a layer (metadata image, directory) can be made again from this and the objects. Format
// in docs/store.md, "Layer index"; bytes here, no file system.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/layer_tree.h"
#include "store/objects.h"

namespace wherry::store {

// Longer ones are damage: the limits of a layer (store.h) keep below.
inline constexpr size_t kMaxIndexBytes = size_t{256} << 20;

class LayerIndex {
 public:
  // `objects`: each that the layer's archive has, in the order of the archive, none twice.
  // REQUIRES: `tree` is sealed and its objects are among them. kNoSpace: out of memory.
  static Result<std::string> Encode(const Digest& diff_id, const LayerTree& tree,
                                    std::span<const ObjectSize> objects);

  // Takes the whole file. kCorrupt unless checksum, structure and diffID are right.
  static Result<LayerIndex> Decode(std::string content, const Digest& diff_id);

  using UseObject = std::function<void(const ObjectSize&)>;
  enum class Trust : uint8_t { kVerify, kVerified };
  // Tells the objects of an index file in their order, reading it in pieces. kVerify: kCorrupt at
  // its end unless checksum and diffID are right, and then nothing that was told is worth anything.
  // kVerified: that has been done; only the objects are read.
  static Result<> Scan(int fd, const Digest& diff_id, Trust trust, const UseObject& use);

  uint64_t size_bytes() const { return size_bytes_; }  // of all files
  size_t object_count() const { return objects_; }
  ObjectSize object(size_t number) const;
  // Sealed. kCorrupt although the checksum was right: not written by Encode.
  Result<LayerTree> Tree() const;

 private:
  LayerIndex() = default;
  std::string content_;
  uint64_t size_bytes_ = 0;
  size_t objects_ = 0;
  size_t entries_ = 0;
};

}  // namespace wherry::store
