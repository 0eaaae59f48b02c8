// Pull parser for tar archives: POSIX ustar and pax, GNU (long names, sparse files), star, V7. One
// pass over a ByteSource, no file system access, memory bounded by the buffer (128 KiB) plus 1 MiB
// of extended header plus the sparse map.
//
// Read as Docker's reader (Go's archive/tar) does where readers differ: global extended headers do
// not change entries, links and special files have no data whatever size they claim, data after the
// end marker is ignored. Not thread-safe; blocks as its source does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/byte_source.h"
#include "store/tar_entry.h"
#include "store/tar_header.h"
#include "store/tar_pax.h"

namespace wherry::store {

class TarReader {
 public:
  // A piece of a regular file's content: `bytes` belong at `offset` of the file.
  struct Piece {
    uint64_t offset = 0;
    std::span<const std::byte> bytes;  // in the reader's buffer, valid until the next call
  };

  // Sees, in the order of the archive, every byte of it that Data does not hand out: headers,
  // padding, content that is passed over, what follows the end marker.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual Result<> Raw(std::span<const std::byte> bytes) = 0;
  };

  // `source` and `observer` must outlive this; no observer: nobody is told.
  explicit TarReader(ByteSource& source, Observer* observer = nullptr);

  // Goes to the next entry, skipping what is left of the current one. False at the end of the
  // archive; the source has then been read to its end. kInvalid: malformed or not supported;
  // kCorrupt: ends in the middle of an entry. On an error entry.name tells which entry, where that
  // was known.
  Result<bool> Next(TarEntry& entry);

  // The next piece of the current entry's content in ascending order; empty when there is no more.
  Result<Piece> Data();

 private:
  struct Meta;  // what extension headers said about the next real entry

  Result<bool> Ensure(size_t count);
  Result<> Consume(size_t count);
  Result<std::optional<std::string_view>> ReadBlock();
  Result<std::string> ReadMetaBody(uint64_t size);
  Result<bool> ApplyExtension(const TarHeader& header, Meta& meta);
  Result<bool> ApplyPax(uint64_t size, Meta& meta);
  Result<> Skip(uint64_t count);
  Result<bool> End();
  Result<> Begin(TarHeader header, Meta meta, TarEntry& entry);
  Result<> BeginSparse(TarHeader& header, Meta& meta, TarEntry& entry);
  Result<std::vector<SparseExtent>> ReadSparseMap();
  Result<uint64_t> ReadSparseNumber();

  ByteSource& source_;
  Observer* const observer_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t begin_ = 0;  // unread bytes of the buffer
  size_t end_ = 0;
  bool source_ended_ = false;
  bool ended_ = false;

  uint64_t remaining_ = 0;  // data bytes of the current entry not yet given out
  uint64_t padding_ = 0;    // to the block boundary after them
  uint64_t position_ = 0;   // in the unpacked file
  std::vector<SparseExtent> extents_;
  size_t extent_ = 0;  // index of the one that position_ is in
};

}  // namespace wherry::store
