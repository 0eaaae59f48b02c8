// Taking a layer in by its parts (docs/store.md, "Partial pulls"): table of contents and tar-split
// of its blob are fetched, then the content of those files that the store lacks; the archive is put
// together again and goes through the same pipeline as one that came whole (store/ingest.h), diffID
// included. Nothing that the blob says about itself is relied on.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/ingest.h"
#include "store/objects.h"
#include "store/range_reader.h"
#include "store/rebuild_source.h"
#include "store/store.h"
#include "store/toc.h"

namespace wherry::store {

using WantedContents = std::unordered_set<Digest, DigestHash>;
// Those of `wanted` that indexes have.
using FindSmallContents = std::function<Result<SmallContents>(const WantedContents& wanted)>;

class PartialLayer {
 public:
  // All must outlive this.
  PartialLayer(const Transaction::LayerParts& layer, const Objects& objects, const Limits& limits)
      : layer_(layer), objects_(objects), limits_(limits), blob_(*layer.ranges) {}

  // Finds out what is missing. Contents up to `inline_bytes` are looked for by `find_small`. False:
  // the whole blob costs about as much. kCorrupt, kInvalid, kUnsupported: it cannot be had by
  // parts.
  Result<bool> Prepare(size_t inline_bytes, const FindSmallContents& find_small);
  // After Prepare. Errors as IngestLayer, too.
  Result<IngestedLayer> Take(IngestTarget target, IngestProgress& progress);

 private:
  Result<> CheckPositions() const;
  Result<> FetchToc();
  Result<> FetchTarSplit();
  std::vector<ByteRange> Missing(size_t inline_bytes) const;

  const Transaction::LayerParts& layer_;
  const Objects& objects_;
  const Limits& limits_;
  RangeReader blob_;
  Toc toc_;
  SmallContents small_;
  std::string tar_split_;  // compressed
};

}  // namespace wherry::store
