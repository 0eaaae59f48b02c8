#include "net/mqtt/wire.h"

#include "core/base/text.h"

namespace wherry::mqtt {

std::unexpected<Error> Malformed(std::string_view what) {
  return Fail(Errc::kInvalid, Cat("a malformed packet: ", what));
}

std::unexpected<Error> ProtocolError(std::string_view what) {
  return Fail(Errc::kConflict, Cat("a packet against the protocol: ", what));
}

std::unexpected<Error> PacketTooLarge(size_t size, size_t limit) {
  return Fail(Errc::kNoSpace, Cat("a packet of ", size, " bytes, where ", limit, " are allowed"));
}

uint8_t ReasonFor(const Error& error) {
  switch (error.code()) {
    case Errc::kInvalid:
      return 0x81;
    case Errc::kConflict:
      return 0x82;
    case Errc::kNoSpace:
      return 0x95;
    default:
      return 0x80;
  }
}

namespace {

// The length of the character that begins with `first`, 0 when none does (RFC 3629 section 4), and
// the smallest code that needs it.
size_t CharacterSize(unsigned char first, uint32_t& smallest) {
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return smallest = 0x80, 2;
  if (first >= 0xe0 && first <= 0xef)
    return smallest = 0x800, 3;
  if (first >= 0xf0 && first <= 0xf4)
    return smallest = 0x10000, 4;
  return 0;
}

}  // namespace

bool IsText(std::string_view bytes) {
  while (!bytes.empty()) {
    auto first = static_cast<unsigned char>(bytes[0]);
    uint32_t smallest = 0;
    size_t size = CharacterSize(first, smallest);
    if (size == 0 || size > bytes.size() || first == 0)
      return false;
    uint32_t code = size == 1 ? first : first & (0x7fu >> size);
    for (size_t i = 1; i < size; ++i) {
      auto next = static_cast<unsigned char>(bytes[i]);
      if ((next & 0xc0) != 0x80)
        return false;
      code = code << 6 | (next & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (code < smallest || code > 0x10ffff || surrogate)
      return false;
    bytes.remove_prefix(size);
  }
  return true;
}

bool IsTopicName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTextBytes && IsText(text) &&
         text.find_first_of("+#") == std::string_view::npos;
}

bool IsTopicFilter(std::string_view text) {
  if (text.empty() || text.size() > kMaxTextBytes || !IsText(text))
    return false;
  auto levels = Split(text, '/');
  for (size_t i = 0; i < levels.size(); ++i) {
    bool wild = levels[i].find_first_of("+#") != std::string_view::npos;
    bool last = i + 1 == levels.size();
    if (wild && levels[i] != "+" && !(levels[i] == "#" && last))
      return false;
  }
  return true;
}

Result<std::string_view> WireReader::Take(size_t count) {
  if (count > bytes_.size())
    return Malformed("it ends too early");
  std::string_view taken = bytes_.substr(0, count);
  bytes_.remove_prefix(count);
  return taken;
}

Result<uint8_t> WireReader::U8() {
  std::string_view bytes = TRY(Take(1));
  return static_cast<uint8_t>(bytes[0]);
}

Result<uint16_t> WireReader::U16() {
  uint8_t high = TRY(U8());
  uint8_t low = TRY(U8());
  return static_cast<uint16_t>(high << 8 | low);
}

Result<uint32_t> WireReader::U32() {
  uint32_t high = TRY(U16());
  uint32_t low = TRY(U16());
  return high << 16 | low;
}

Result<uint32_t> WireReader::Varint() {
  uint32_t value = 0;
  for (unsigned shift = 0; shift < 28; shift += 7) {
    uint8_t byte = TRY(U8());
    value |= static_cast<uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) != 0)
      continue;
    if (byte == 0 && shift > 0)
      return Malformed("a number with more bytes than it needs");  // 1.5.5-1
    return value;
  }
  return Malformed("a number of more than four bytes");  // 1.5.5
}

Result<std::string_view> WireReader::Binary() {
  uint16_t size = TRY(U16());
  return Take(size);
}

Result<std::string_view> WireReader::Text() {
  std::string_view text = TRY(Binary());
  if (!IsText(text))
    return Malformed("text that is not UTF-8");  // 1.5.4-1, 1.5.4-2
  return text;
}

void WireWriter::U16(uint16_t value) {
  U8(static_cast<uint8_t>(value >> 8));
  U8(static_cast<uint8_t>(value));
}

void WireWriter::U32(uint32_t value) {
  U16(static_cast<uint16_t>(value >> 16));
  U16(static_cast<uint16_t>(value));
}

void WireWriter::Varint(uint32_t value) {
  for (; value >= 0x80; value >>= 7)
    U8(static_cast<uint8_t>(value | 0x80));
  U8(static_cast<uint8_t>(value));
}

void WireWriter::Text(std::string_view text) {
  U16(static_cast<uint16_t>(text.size()));
  Raw(text);
}

}  // namespace wherry::mqtt
