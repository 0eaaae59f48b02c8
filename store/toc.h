// Table of contents of a zstd:chunked layer (containers/storage, pkg/chunked/internal/minimal):
// where in the blob the content of which file is, compressed on its own. A hint and nothing more:
// what is built with its help is verified against the diffID. Memory: 72 bytes for each file with
// content.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/store.h"

namespace wherry::store {

// A regular file that is not empty.
struct TocFile {
  uint64_t name_hash = 0;
  uint64_t offset = 0;  // in the blob, of the first frame
  uint64_t end = 0;     // after the last one
  uint64_t size = 0;    // of the content
  Digest digest;        // of the content
};

class Toc {
 public:
  // `json`: the uncompressed text, read to its end. kInvalid: malformed, more files than a layer
  // may have entries, content that overlaps or lies beyond `payload_end`; kUnsupported: another
  // version, no ends given.
  static Result<Toc> Parse(ByteSource& json, const Limits& limits, uint64_t payload_end);

  // The file of that name and size; null when there is none or more than one. Of 2^64 names two may
  // be taken for each other: that shows in the diffID.
  const TocFile* Find(std::string_view name, uint64_t size) const;
  std::span<const TocFile> files() const { return files_; }  // by offset

 private:
  Result<> Finish(uint64_t payload_end);

  std::vector<TocFile> files_;
  std::vector<uint32_t> by_name_;  // indexes of files_, by name_hash
};

}  // namespace wherry::store
