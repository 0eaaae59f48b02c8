// Messages of D-Bus as bytes (D-Bus specification, "Message Protocol"): made for calls, read with
// bounds checked, because whoever answers is another program. Pure. In the byte order of this
// machine, which is that of all who talk on it. Descriptors are not passed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::sys {

// Values one after the other, each at its alignment. Types are named as in signatures: 'y' byte,
// 'b' boolean, 'n' 'q' 'i' 'u' 'x' 't' numbers of 16, 32 and 64 bits, 's' text, 'o' path of an
// object, 'g' signature.
class DbusWriter {
 public:
  DbusWriter& Number(char type, uint64_t value);
  DbusWriter& Text(std::string_view text);  // 's' or 'o'
  DbusWriter& Signature(std::string_view signature);
  // Of a structure, and of an entry of a dictionary.
  DbusWriter& Struct();
  // An array whose elements are of `type`, '(' for structures, until Close.
  struct Array {
    size_t length;  // where it stands
    size_t first;
  };
  Array Open(char type);
  void Close(Array array);
  // The beginning of a (sv), which its value follows: the name of a property and its type.
  DbusWriter& Property(std::string_view name, std::string_view signature);

  const std::string& bytes() const { return bytes_; }

 private:
  void Align(size_t alignment);
  void Raw(uint64_t value, size_t size);

  std::string bytes_;
};

// Reads what a DbusWriter wrote. kCorrupt beyond the end.
class DbusReader {
 public:
  explicit DbusReader(std::string_view bytes) : bytes_(bytes) {}

  Result<uint64_t> Number(char type);
  // 's', 'o' or 'g'. Into the bytes.
  Result<std::string_view> Text(char type);
  Result<> Align(size_t alignment);
  bool AtEnd() const { return at_ == bytes_.size(); }

 private:
  Result<std::string_view> Take(size_t size);

  std::string_view bytes_;
  size_t at_ = 0;
};

enum class DbusKind : uint8_t { kCall = 1, kReply = 2, kError = 3, kSignal = 4 };

struct DbusMessage {
  DbusKind kind = DbusKind::kCall;
  uint32_t serial = 0;
  uint32_t reply_serial = 0;  // of the call this answers
  std::string path = {};
  std::string interface = {};
  std::string member = {};
  std::string error_name = {};
  std::string destination = {};
  std::string sender = {};  // only on a bus
  std::string signature = {};
  std::string body = {};
};

std::string BuildDbusMessage(const DbusMessage& message);

constexpr size_t kDbusStart = 16;
// The size of the whole message, from its first kDbusStart bytes; kCorrupt for what is no message
// or has more than a megabyte.
Result<size_t> DbusMessageSize(std::string_view start);
// REQUIRES: as many bytes as DbusMessageSize says.
Result<DbusMessage> ParseDbusMessage(std::string_view bytes);

}  // namespace wherry::sys
