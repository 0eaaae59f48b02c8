#include "store/tar_header.h"

#include <algorithm>
#include <limits>

#include "core/base/text.h"

namespace wherry::store {

namespace {

struct Field {
  size_t offset;
  size_t size;
};

// clang-format off
constexpr Field kName     {0, 100};
constexpr Field kMode     {100, 8};
constexpr Field kUid      {108, 8};
constexpr Field kGid      {116, 8};
constexpr Field kSize     {124, 12};
constexpr Field kMtime    {136, 12};
constexpr Field kChecksum {148, 8};
constexpr Field kType     {156, 1};
constexpr Field kLinkName {157, 100};
constexpr Field kMagic    {257, 8};    // with the version
constexpr Field kDevMajor {329, 8};
constexpr Field kDevMinor {337, 8};
constexpr Field kPrefix   {345, 155};  // POSIX
constexpr Field kStarPrefix {345, 131};
constexpr Field kStarTrailer {508, 4};
constexpr Field kGnuExtents {386, 96};
constexpr Field kGnuContinues {482, 1};
constexpr Field kGnuRealSize {483, 12};
constexpr Field kExtensionExtents {0, 504};
constexpr Field kExtensionContinues {504, 1};
// clang-format on
constexpr size_t kExtentNumber = 12;

std::string_view Get(std::string_view block, Field field) {
  return block.substr(field.offset, field.size);
}

std::string_view Text(std::string_view block, Field field) {
  std::string_view text = Get(block, field);
  return text.substr(0, text.find('\0'));
}

Result<int64_t> Number(std::string_view block, Field field, std::string_view what) {
  return DecodeTarNumber(Get(block, field), what);
}

Result<uint64_t> Size(std::string_view field, std::string_view what) {
  int64_t value = TRY(DecodeTarNumber(field, what));
  if (value < 0) {
    return Fail(Errc::kInvalid, Cat("tar header: negative ", what));
  }
  return static_cast<uint64_t>(value);
}

Result<int64_t> DecodeBase256(std::string_view field, std::string_view what) {
  bool negative = (field[0] & 0x40) != 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = 0; i < field.size(); ++i) {
    auto byte = static_cast<uint8_t>(field[i]);
    if (i == 0) {  // the top bit only marks the encoding
      byte = negative ? (byte | 0x80) : (byte & 0x7f);
    }
    uint64_t lost = value >> 55;  // what the shift pushes out, and the sign bit after it
    if (lost != (negative ? 0x1ff : 0)) {
      return Fail(Errc::kInvalid, Cat("tar header: ", what, " is too large"));
    }
    value = value << 8 | byte;
  }
  return static_cast<int64_t>(value);
}

// Historic writers summed signed characters.
Result<> CheckChecksum(std::string_view block) {
  int64_t stored = TRY(Number(block, kChecksum, "checksum"));
  int64_t unsigned_sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    char c = own ? ' ' : block[i];
    unsigned_sum += static_cast<uint8_t>(c);
    signed_sum += static_cast<int8_t>(c);
  }
  if (stored != unsigned_sum && stored != signed_sum) {
    return Fail(Errc::kInvalid, "tar header: wrong checksum (not a tar archive, or damaged)");
  }
  return {};
}

Result<bool> AppendExtents(std::string_view block, Field list, Field continues,
                           std::vector<SparseExtent>& extents) {
  std::string_view numbers = Get(block, list);
  for (; !numbers.empty() && numbers[0] != '\0'; numbers.remove_prefix(2 * kExtentNumber)) {
    SparseExtent extent;
    extent.offset = TRY(Size(numbers.substr(0, kExtentNumber), "sparse offset"));
    extent.size = TRY(Size(numbers.substr(kExtentNumber, kExtentNumber), "sparse size"));
    extents.push_back(extent);
  }
  char more = Get(block, continues)[0];
  return more != '\0' && more != '0';
}

enum class Dialect : uint8_t { kV7, kPosix, kStar, kGnu };

Dialect DialectOf(std::string_view block) {
  std::string_view magic = Get(block, kMagic);
  if (magic == std::string_view("ustar  \0", 8)) {
    return Dialect::kGnu;
  }
  if (!magic.starts_with(std::string_view("ustar\0", 6))) {
    return Dialect::kV7;
  }
  return Get(block, kStarTrailer) == std::string_view("tar\0", 4) ? Dialect::kStar
                                                                  : Dialect::kPosix;
}

std::string_view PrefixOf(std::string_view block, Dialect dialect) {
  switch (dialect) {
    case Dialect::kPosix:
      return Text(block, kPrefix);
    case Dialect::kStar:
      return Text(block, kStarPrefix);
    case Dialect::kV7:
    case Dialect::kGnu:
      break;
  }
  return {};
}

}  // namespace

Result<int64_t> DecodeTarNumber(std::string_view field, std::string_view what) {
  if (!field.empty() && (field[0] & 0x80) != 0) {
    return DecodeBase256(field, what);
  }
  constexpr std::string_view kBlank(" \0", 2);
  size_t begin = std::min(field.find_first_not_of(kBlank), field.size());
  size_t end = std::min(field.find_first_of(kBlank, begin), field.size());
  int64_t value = 0;
  for (char c : field.substr(begin, end - begin)) {
    if (c < '0' || c > '7' || value > std::numeric_limits<int64_t>::max() >> 3) {
      return Fail(Errc::kInvalid, Cat("tar header: ", what, " is not a number"));
    }
    value = value << 3 | (c - '0');
  }
  return value;
}

Result<TarHeader> DecodeTarHeader(std::string_view block) {
  TRY(CheckChecksum(block));
  Dialect dialect = DialectOf(block);
  TarHeader header;
  std::string_view prefix = PrefixOf(block, dialect);
  header.name = Cat(prefix, prefix.empty() ? "" : "/", Text(block, kName));
  header.link_name = Text(block, kLinkName);
  header.type = Get(block, kType)[0];
  header.mode = TRY(Number(block, kMode, "mode"));
  header.uid = TRY(Number(block, kUid, "uid"));
  header.gid = TRY(Number(block, kGid, "gid"));
  header.size = TRY(Size(Get(block, kSize), "size"));
  header.mtime = TRY(Number(block, kMtime, "mtime"));
  if (dialect != Dialect::kV7) {
    header.device_major = TRY(Number(block, kDevMajor, "device number"));
    header.device_minor = TRY(Number(block, kDevMinor, "device number"));
  }
  if (header.type == 'S') {
    header.extents_continue = TRY(AppendExtents(block, kGnuExtents, kGnuContinues, header.extents));
    header.sparse_size = TRY(Size(Get(block, kGnuRealSize), "sparse file size"));
  }
  return header;
}

Result<bool> DecodeSparseExtension(std::string_view block, std::vector<SparseExtent>& extents) {
  return AppendExtents(block, kExtensionExtents, kExtensionContinues, extents);
}

bool IsZeroBlock(std::string_view block) {
  return block.find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace wherry::store
