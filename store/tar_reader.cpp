#include "store/tar_reader.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/text.h"

namespace wherry::store {

namespace {

constexpr size_t kBufferBytes = 128 << 10;
constexpr uint64_t kMaxMetaBytes = 1 << 20;

uint64_t PaddingOf(uint64_t size) {
  return (kTarBlock - size % kTarBlock) % kTarBlock;
}

std::unexpected<Error> Truncated() {
  return Fail(Errc::kCorrupt, "the archive ends in the middle of an entry");
}

// Old writers mark directories by a trailing slash only.
std::optional<TarType> TypeOf(char flag, std::string_view name) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':  // contiguous
      return name.ends_with('/') ? TarType::kDirectory : TarType::kRegular;
    case 'S':
      return TarType::kRegular;
    case '1':
      return TarType::kHardlink;
    case '2':
      return TarType::kSymlink;
    case '3':
      return TarType::kCharDevice;
    case '4':
      return TarType::kBlockDevice;
    case '5':
      return TarType::kDirectory;
    case '6':
      return TarType::kFifo;
    default:
      return std::nullopt;
  }
}

// 2^32-1 is "leave as it is" to chown(2).
Result<uint32_t> OwnerId(int64_t value, std::string_view what) {
  if (value < 0 || value >= std::numeric_limits<uint32_t>::max()) {
    return Fail(Errc::kInvalid, Cat(what, " ", value, " is out of range"));
  }
  return static_cast<uint32_t>(value);
}

// Ascending, not overlapping, inside the file, and as long together as the data that is there.
Result<> CheckExtents(const std::vector<SparseExtent>& extents, uint64_t file_size,
                      uint64_t data_size) {
  uint64_t end = 0;
  uint64_t total = 0;
  for (const SparseExtent& extent : extents) {
    if (extent.offset < end || extent.offset > file_size ||
        extent.size > file_size - extent.offset) {
      return Fail(Errc::kInvalid, "sparse file whose pieces overlap or lie outside of it");
    }
    end = extent.offset + extent.size;
    total += extent.size;
  }
  if (total != data_size) {
    return Fail(Errc::kInvalid, Cat("sparse file with ", data_size, " bytes of data for pieces of ",
                                    total, " bytes"));
  }
  return {};
}

}  // namespace

struct TarReader::Meta {
  std::optional<std::string> long_name;
  std::optional<std::string> long_link;
  PaxRecords pax;
  bool any = false;
};

TarReader::TarReader(ByteSource& source, Observer* observer)
    : source_(source), observer_(observer), buffer_(std::make_unique<std::byte[]>(kBufferBytes)) {}

// Makes `count` contiguous bytes available; false when the source ends before.
Result<bool> TarReader::Ensure(size_t count) {
  if (end_ - begin_ < count && begin_ > 0) {
    memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < count) {
    if (source_ended_) {
      return false;
    }
    size_t got = TRY(source_.Read({buffer_.get() + end_, kBufferBytes - end_}));
    end_ += got;
    source_ended_ = got == 0;
  }
  return true;
}

// Passes over bytes of the buffer that are no content. They stay there until the next read.
Result<> TarReader::Consume(size_t count) {
  std::span<const std::byte> bytes(buffer_.get() + begin_, count);
  begin_ += count;
  return observer_ != nullptr ? observer_->Raw(bytes) : Result<>();
}

// Nothing at a clean end of the source. The view lives until the next read.
Result<std::optional<std::string_view>> TarReader::ReadBlock() {
  if (!TRY(Ensure(kTarBlock))) {
    if (begin_ == end_) {
      return std::nullopt;
    }
    return Truncated();
  }
  const std::byte* block = buffer_.get() + begin_;
  TRY(Consume(kTarBlock));
  return std::string_view(reinterpret_cast<const char*>(block), kTarBlock);
}

Result<> TarReader::Skip(uint64_t count) {
  while (count > 0) {
    if (begin_ == end_ && !TRY(Ensure(1))) {
      return Truncated();
    }
    auto step = static_cast<size_t>(std::min<uint64_t>(count, end_ - begin_));
    TRY(Consume(step));
    count -= step;
  }
  return {};
}

Result<std::string> TarReader::ReadMetaBody(uint64_t size) {
  if (size > kMaxMetaBytes) {
    return Fail(Errc::kInvalid, Cat("tar extended header of ", size, " bytes; at most ",
                                    kMaxMetaBytes, " are accepted"));
  }
  std::string body;
  while (body.size() < size) {
    if (begin_ == end_ && !TRY(Ensure(1))) {
      return Truncated();
    }
    size_t step = std::min(static_cast<size_t>(size) - body.size(), end_ - begin_);
    body.append(reinterpret_cast<const char*>(buffer_.get() + begin_), step);
    TRY(Consume(step));
  }
  TRY(Skip(PaddingOf(size)));
  return body;
}

// True: the header was an extension and has been used up.
Result<bool> TarReader::ApplyExtension(const TarHeader& header, Meta& meta) {
  switch (header.type) {
    case 'L':
    case 'K': {
      std::string text = TRY(ReadMetaBody(header.size));
      text.resize(std::min(text.find('\0'), text.size()));
      (header.type == 'L' ? meta.long_name : meta.long_link) = std::move(text);
      meta.any = true;
      return true;
    }
    case 'x':
      return ApplyPax(header.size, meta);
    case 'g':  // global records, see the header comment
    case 'V':  // label of the volume
      TRY(Skip(header.size));
      TRY(Skip(PaddingOf(header.size)));
      return true;
    default:
      return false;
  }
}

Result<bool> TarReader::ApplyPax(uint64_t size, Meta& meta) {
  std::string body = TRY(ReadMetaBody(size));
  TRY(ParsePax(body, meta.pax));
  meta.any = true;
  return true;
}

// The end marker is two zero blocks; a lone one in front of the end of the source will do.
Result<bool> TarReader::End() {
  auto second = TRY(ReadBlock());
  if (second && !IsZeroBlock(*second)) {
    return Fail(Errc::kInvalid, "tar archive with a zero block between entries");
  }
  ended_ = true;
  do {
    TRY(Consume(end_ - begin_));
  } while (TRY(Ensure(1)));
  return false;
}

Result<bool> TarReader::Next(TarEntry& entry) {
  entry = {};
  if (ended_) {
    return false;
  }
  TRY(Skip(remaining_));
  TRY(Skip(padding_));
  remaining_ = padding_ = 0;
  Meta meta;
  for (;;) {
    auto block = TRY(ReadBlock());
    if (!block && !meta.any) {
      ended_ = true;
      return false;
    }
    if (!block || (meta.any && IsZeroBlock(*block))) {
      return Fail(Errc::kInvalid, "tar extended header without an entry");
    }
    if (IsZeroBlock(*block)) {
      return End();
    }
    TarHeader header = TRY(DecodeTarHeader(*block));
    bool extension = TRY(ApplyExtension(header, meta));
    if (!extension) {
      TRY(Begin(std::move(header), std::move(meta), entry));
      return true;
    }
  }
}

Result<> TarReader::Begin(TarHeader header, Meta meta, TarEntry& entry) {
  entry.name = std::move(header.name);
  entry.link_name = std::move(header.link_name);
  if (meta.long_name) {
    entry.name = *std::move(meta.long_name);
  }
  if (meta.long_link) {
    entry.link_name = *std::move(meta.long_link);
  }
  if (meta.pax.path) {
    entry.name = *std::move(meta.pax.path);
  }
  if (meta.pax.link_path) {
    entry.link_name = *std::move(meta.pax.link_path);
  }
  if (entry.name.empty()) {
    return Fail(Errc::kInvalid, "tar entry without a name");
  }
  auto type = TypeOf(header.type, entry.name);
  if (!type) {
    return Fail(Errc::kInvalid, Cat("tar entry of the unknown type ",
                                    static_cast<int>(static_cast<uint8_t>(header.type))));
  }
  entry.type = *type;
  entry.mode = static_cast<uint32_t>(header.mode & 07777);
  entry.uid = TRY(OwnerId(meta.pax.uid.value_or(header.uid), "uid"));
  entry.gid = TRY(OwnerId(meta.pax.gid.value_or(header.gid), "gid"));
  entry.device_major = TRY(OwnerId(header.device_major, "device number"));
  entry.device_minor = TRY(OwnerId(header.device_minor, "device number"));
  entry.mtime = meta.pax.mtime.value_or(TarTime{header.mtime, 0});
  entry.xattrs = std::move(meta.pax.xattrs);

  position_ = 0;
  extents_.clear();
  extent_ = 0;
  if (entry.type != TarType::kRegular) {
    return {};
  }
  remaining_ = meta.pax.size.value_or(header.size);
  padding_ = PaddingOf(remaining_);
  entry.size = remaining_;
  if (header.type == 'S' || meta.pax.sparse()) {
    TRY(BeginSparse(header, meta, entry));
  }
  return {};
}

Result<> TarReader::BeginSparse(TarHeader& header, Meta& meta, TarEntry& entry) {
  if (meta.pax.sparse_name) {
    entry.name = *std::move(meta.pax.sparse_name);
  }
  uint64_t format = meta.pax.sparse_major.value_or(0);
  if (format > 1) {
    return Fail(Errc::kInvalid, Cat("sparse file in the unknown format ", format));
  }
  if (format == 1) {
    extents_ = TRY(ReadSparseMap());
  } else if (meta.pax.sparse()) {
    extents_ = std::move(meta.pax.sparse_extents);
  } else {
    extents_ = std::move(header.extents);
    for (bool more = header.extents_continue; more;) {
      auto block = TRY(ReadBlock());
      if (!block) {
        return Truncated();
      }
      more = TRY(DecodeSparseExtension(*block, extents_));
      if (extents_.size() > kMaxSparseExtents) {
        return Fail(Errc::kInvalid,
                    Cat("sparse file with more than ", kMaxSparseExtents, " pieces"));
      }
    }
    meta.pax.sparse_size = header.sparse_size;
  }
  entry.sparse = true;
  entry.size = meta.pax.sparse_size.value_or(entry.size);
  TRY(CheckExtents(extents_, entry.size, remaining_));
  std::erase_if(extents_, [](const SparseExtent& extent) { return extent.size == 0; });
  return {};
}

// Format 1.0: decimal numbers, one per line, in whole blocks in front of the data and counted in
// its size.
Result<std::vector<SparseExtent>> TarReader::ReadSparseMap() {
  uint64_t before = remaining_;
  uint64_t count = TRY(ReadSparseNumber());
  if (count > kMaxSparseExtents) {
    return Fail(Errc::kInvalid, Cat("sparse file with more than ", kMaxSparseExtents, " pieces"));
  }
  std::vector<SparseExtent> extents;
  for (uint64_t i = 0; i < count; ++i) {
    SparseExtent extent;
    extent.offset = TRY(ReadSparseNumber());
    extent.size = TRY(ReadSparseNumber());
    extents.push_back(extent);
  }
  uint64_t pad = PaddingOf(before - remaining_);
  if (pad > remaining_) {
    return Fail(Errc::kInvalid, "sparse file whose map is longer than its data");
  }
  TRY(Skip(pad));
  remaining_ -= pad;
  return extents;
}

Result<uint64_t> TarReader::ReadSparseNumber() {
  constexpr size_t kMaxDigits = 20;
  std::string digits;
  while (digits.size() <= kMaxDigits && remaining_ > 0) {
    if (begin_ == end_ && !TRY(Ensure(1))) {
      return Truncated();
    }
    auto c = static_cast<char>(buffer_[begin_]);
    TRY(Consume(1));
    --remaining_;
    if (c == '\n') {
      auto number = ParseUint(digits);
      if (!number) {
        break;
      }
      return number;
    }
    digits.push_back(c);
  }
  return Fail(Errc::kInvalid, "sparse file with a malformed map");
}

Result<TarReader::Piece> TarReader::Data() {
  if (remaining_ == 0) {
    return Piece{};
  }
  if (begin_ == end_ && !TRY(Ensure(1))) {
    return Truncated();
  }
  uint64_t room = remaining_;
  if (!extents_.empty()) {
    while (extent_ < extents_.size() &&
           position_ >= extents_[extent_].offset + extents_[extent_].size) {
      ++extent_;
    }
    // CheckExtents made sure that the pieces hold exactly the data there is.
    const SparseExtent& extent = extents_[extent_];
    position_ = std::max(position_, extent.offset);
    room = std::min(room, extent.offset + extent.size - position_);
  }
  auto step = static_cast<size_t>(std::min<uint64_t>(room, end_ - begin_));
  Piece piece{position_, {buffer_.get() + begin_, step}};
  begin_ += step;
  remaining_ -= step;
  position_ += step;
  return piece;
}

}  // namespace wherry::store
