// The archive of a layer, put together from its tar-split (github.com/vbatts/tar-split, JSON lines)
// and the content of its files: objects that are there already, and parts of the blob. What comes
// out has to be verified against the diffID.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/fd.h"
#include "core/base/json_stream.h"
#include "core/base/result.h"
#include "store/objects.h"
#include "store/range_reader.h"
#include "store/store.h"
#include "store/toc.h"

namespace wherry::store {

// Contents that are known but are no objects, because indexes have them.
using SmallContents = std::unordered_map<Digest, std::string, DigestHash>;

struct RebuildParts {
  const Toc& toc;
  const Objects& objects;
  const SmallContents& small;
  RangeReader& blob;
  const Limits& limits;
};

class RebuildSource final : public ByteSource {
 public:
  // `split`: the uncompressed lines. All must outlive this.
  RebuildSource(ByteSource& split, const RebuildParts& parts);

  // kInvalid for a malformed tar-split and for files that are not in the table of contents;
  // kCorrupt when content does not have the size it should; errors of decompression and of the
  // blob.
  Result<size_t> Read(std::span<std::byte> out) override;

 private:
  struct Line;
  Result<bool> NextPart();
  Result<Line> ReadLine();
  Result<> BeginFile(const Line& line);
  Result<size_t> ReadFile(std::span<std::byte> out);
  Result<> EndFile();

  JsonStream lines_;
  RebuildParts parts_;
  std::string raw_;  // of the archive, given out up to raw_at_
  size_t raw_at_ = 0;
  uint64_t left_ = 0;                     // of the current file's content
  UniqueFd object_;                       // that has it
  std::unique_ptr<ByteSource> unpacked_;  // else
};

}  // namespace wherry::store
