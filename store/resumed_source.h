// The archive of a layer whose taking in was interrupted: first what is there of it, from headers
// and objects, then the rest of its blob.
#pragma once

#include <memory>
#include <optional>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "store/checkpoint.h"
#include "store/objects.h"
#include "store/store.h"

namespace wherry::store {

// A checkpoint and the files it speaks of.
struct SavedLayer {
  Checkpoint checkpoint;
  UniqueFd dir;   // of the attempt
  UniqueFd file;  // kPartName, for reading and writing; closed: none
  UniqueFd file_dir;
};

class ResumedSource final : public ByteSource {
 public:
  // `blob`: of the rest, from checkpoint.blob.bytes on; `start` opens it. `points` may be null. All
  // must outlive this.
  ResumedSource(const SavedLayer& saved, const Objects& objects, ByteSource& blob, BlobStart& start,
                const Limits& limits, PointSink* points);

  // kCorrupt and kNotFound when what is there is not what was; later errors as those of `blob` and
  // of Decompress.
  Result<size_t> Read(std::span<std::byte> out) override;
  // What was there is what it was; what is wrong from here on is wrong with the blob or the state.
  bool replayed() const { return rest_ != nullptr; }

 private:
  Result<> OpenRest();

  const SavedLayer& saved_;
  ByteSource& blob_;
  BlobStart& start_;
  const Limits& limits_;
  PointSink* const points_;
  std::unique_ptr<ByteSource> there_;
  std::unique_ptr<ByteSource> verified_;
  std::unique_ptr<ByteSource> rest_;
};

}  // namespace wherry::store
