// The data types of MQTT packets (MQTT 5.0 section 1.5) and what may be wrong with them. Sections
// in comments are those of "MQTT Version 5.0" (OASIS, 7 March 2019) unless 3.1.1 is said.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"

namespace wherry::mqtt {

// Errors of what the other side sends, each by its code:
//   Malformed        Errc::kInvalid    cannot be parsed (1.2, reason code 0x81)
//   ProtocolError    Errc::kConflict   parsed, but not allowed here (1.2, 0x82)
//   PacketTooLarge   Errc::kNoSpace    (3.1.2.11.4, 0x95)
std::unexpected<Error> Malformed(std::string_view what);
std::unexpected<Error> ProtocolError(std::string_view what);
std::unexpected<Error> PacketTooLarge(size_t size, size_t limit);
// The reason code of a DISCONNECT for such an error; 0x80 for others.
uint8_t ReasonFor(const Error& error);

// 1.5.4: well-formed, no surrogates, no U+0000.
bool IsText(std::string_view bytes);
// 4.7.1, 4.7.3: one character at least, at most 65535 bytes, no wildcards.
bool IsTopicName(std::string_view text);
// 4.7.1: '#' alone or as the last level, '+' as a whole level.
bool IsTopicFilter(std::string_view text);

inline constexpr uint32_t kMaxVarint = 268'435'455;  // 1.5.5
inline constexpr size_t kMaxTextBytes = 65'535;      // 1.5.4, 1.5.6

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  Result<uint8_t> U8();
  Result<uint16_t> U16();
  Result<uint32_t> U32();
  Result<uint32_t> Varint();
  Result<std::string_view> Text();
  Result<std::string_view> Binary();
  Result<std::string_view> Take(size_t count);
  std::string_view Rest() { return std::exchange(bytes_, {}); }

 private:
  std::string_view bytes_;
};

// REQUIRES: text and binary data of at most kMaxTextBytes.
class WireWriter {
 public:
  void U8(uint8_t value) { bytes_ += static_cast<char>(value); }
  void U16(uint16_t value);
  void U32(uint32_t value);
  void Varint(uint32_t value);
  void Text(std::string_view text);
  void Raw(std::string_view bytes) { bytes_ += bytes; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace wherry::mqtt
