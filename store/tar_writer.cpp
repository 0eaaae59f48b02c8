#include "store/tar_writer.h"

#include <cstring>

#include "core/base/text.h"
#include "store/tar_header.h"

namespace wherry::store {

namespace {

constexpr uint64_t kMaxOctalSize = (uint64_t{1} << 33) - 1;  // eleven octal digits
constexpr size_t kChecksumAt = 148;
constexpr size_t kChecksumSize = 8;
constexpr uint32_t kFileMode = 0644;
constexpr uint32_t kDirMode = 0755;

void PutOctal(std::string& block, size_t offset, size_t digits, uint64_t value) {
  for (size_t i = digits; i-- > 0; value >>= 3)
    block[offset + i] = static_cast<char>('0' + (value & 7));
}

void PutText(std::string& block, size_t offset, std::string_view text) {
  memcpy(block.data() + offset, text.data(), text.size());
}

void Seal(std::string& block) {
  PutText(block, 257, std::string_view("ustar\00000", 8));
  memset(block.data() + kChecksumAt, ' ', kChecksumSize);
  uint32_t sum = 0;
  for (char c : block)
    sum += static_cast<uint8_t>(c);
  PutOctal(block, kChecksumAt, 6, sum);
  block[kChecksumAt + 6] = '\0';
}

std::string Block(std::string_view name, char type, uint32_t mode, uint64_t size) {
  std::string block(kTarBlock, '\0');
  PutText(block, 0, name);
  PutOctal(block, 100, 7, mode);
  PutOctal(block, 108, 7, 0);
  PutOctal(block, 116, 7, 0);
  PutOctal(block, 124, 11, size);
  PutOctal(block, 136, 11, 0);
  block[156] = type;
  PutOctal(block, 329, 7, 0);
  PutOctal(block, 337, 7, 0);
  Seal(block);
  return block;
}

// "LENGTH key=value\n", where LENGTH counts itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  size_t rest = key.size() + value.size() + 3;
  size_t length = rest + Cat(rest).size();
  length = rest + Cat(length).size();
  return Cat(length, " ", key, "=", value, "\n");
}

char TypeFlag(TarType type) {
  switch (type) {
    case TarType::kRegular:
      return '0';
    case TarType::kHardlink:
      return '1';
    case TarType::kSymlink:
      return '2';
    case TarType::kCharDevice:
      return '3';
    case TarType::kBlockDevice:
      return '4';
    case TarType::kDirectory:
      return '5';
    case TarType::kFifo:
      return '6';
  }
  return '0';
}

// One header whose fields go to pax records where they do not fit.
class EntryHeader {
 public:
  explicit EntryHeader(char type) { block_[156] = type; }

  void Text(size_t offset, size_t size, std::string_view key, std::string_view text) {
    if (text.size() > size) {
      records_ += PaxRecord(key, text);
      text = text.substr(0, size);
    }
    PutText(block_, offset, text);
  }
  void Number(size_t offset, size_t digits, std::string_view key, int64_t value) {
    bool fits = value >= 0 && value < int64_t{1} << 3 * digits;
    if (!fits && !key.empty())
      records_ += PaxRecord(key, Cat(value));
    PutOctal(block_, offset, digits, fits ? static_cast<uint64_t>(value) : 0);
  }
  void Record(std::string_view key, std::string_view value) { records_ += PaxRecord(key, value); }

  std::string Take() {
    Seal(block_);
    if (records_.empty())
      return std::move(block_);
    return Cat(Block("PaxHeaders/entry", 'x', kFileMode, records_.size()), records_,
               TarPadding(records_.size()), block_);
  }

 private:
  std::string block_ = std::string(kTarBlock, '\0');
  std::string records_;
};

// "COUNT\nOFFSET\nSIZE\n..." up to a block's end.
std::string SparseMap(std::span<const SparseExtent> extents) {
  std::string map = Cat(extents.size(), "\n");
  for (const SparseExtent& extent : extents)
    Append(map, extent.offset, "\n", extent.size, "\n");
  return map + TarPadding(map.size());
}

}  // namespace

std::string TarEntryHeader(const TarEntry& entry, std::span<const SparseExtent> extents) {
  EntryHeader header(TypeFlag(entry.type));
  std::string map;
  uint64_t size = entry.type == TarType::kRegular ? entry.size : 0;
  if (entry.sparse) {
    map = SparseMap(extents);
    header.Record("GNU.sparse.major", "1");
    header.Record("GNU.sparse.minor", "0");
    header.Record("GNU.sparse.name", entry.name);
    header.Record("GNU.sparse.realsize", Cat(entry.size));
    size = map.size();
    for (const SparseExtent& extent : extents)
      size += extent.size;
    header.Text(0, 100, "path", "GNUSparseFile.0/file");
  } else {
    header.Text(0, 100, "path", entry.name);
  }
  header.Number(100, 7, "", entry.mode);
  header.Number(108, 7, "uid", entry.uid);
  header.Number(116, 7, "gid", entry.gid);
  header.Number(124, 11, "size", static_cast<int64_t>(size));
  header.Number(136, 11, "mtime", entry.mtime.seconds);
  header.Text(157, 100, "linkpath", entry.link_name);
  header.Number(329, 7, "", entry.device_major);
  header.Number(337, 7, "", entry.device_minor);
  for (const TarXattr& xattr : entry.xattrs)
    header.Record(Cat("SCHILY.xattr.", xattr.name), xattr.value);
  return Cat(header.Take(), map);
}

std::string TarFileHeader(std::string_view name, uint64_t size) {
  if (size <= kMaxOctalSize)
    return Block(name, '0', kFileMode, size);
  std::string record = PaxRecord("size", Cat(size));
  // The size of the plain header is not looked at where the record is understood.
  return Cat(Block("PaxHeaders/size", 'x', kFileMode, record.size()), record,
             TarPadding(record.size()), Block(name, '0', kFileMode, 0));
}

std::string TarDirHeader(std::string_view name) {
  return Block(name, '5', kDirMode, 0);
}

std::string TarPadding(uint64_t size) {
  return std::string(static_cast<size_t>((kTarBlock - size % kTarBlock) % kTarBlock), '\0');
}

std::string TarEnd() {
  return std::string(2 * kTarBlock, '\0');
}

}  // namespace wherry::store
