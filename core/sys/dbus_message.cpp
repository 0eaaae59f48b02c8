#include "core/sys/dbus_message.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "core/base/text.h"

namespace wherry::sys {

namespace {

constexpr char kByteOrder = std::endian::native == std::endian::little ? 'l' : 'B';
constexpr uint64_t kVersion = 1;
constexpr size_t kLargest = size_t{1} << 20;

struct NumberRow {
  char type;
  uint8_t size;  // and alignment
};
constexpr NumberRow kNumbers[] = {{'y', 1}, {'n', 2}, {'q', 2}, {'b', 4},
                                  {'i', 4}, {'u', 4}, {'x', 8}, {'t', 8}};

// 0 for what is no number.
size_t NumberSize(char type) {
  const NumberRow* row = std::ranges::find(kNumbers, type, &NumberRow::type);
  return row == std::end(kNumbers) ? 0 : row->size;
}

size_t Alignment(char type) {
  if (type == '(')
    return 8;
  if (type == 'g')
    return 1;
  size_t size = NumberSize(type);
  return size != 0 ? size : 4;
}

size_t RoundUp(size_t value, size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Errc::kCorrupt, Cat("message of D-Bus: ", what));
}

// The fields of a header that are read and written ("Header Fields").
struct FieldRow {
  uint8_t code;
  char type;
  std::string DbusMessage::* text;
};
constexpr FieldRow kFields[] = {
    {1, 'o', &DbusMessage::path},        {2, 's', &DbusMessage::interface},
    {3, 's', &DbusMessage::member},      {4, 's', &DbusMessage::error_name},
    {6, 's', &DbusMessage::destination}, {7, 's', &DbusMessage::sender},
    {8, 'g', &DbusMessage::signature},
};
constexpr uint64_t kReplySerial = 5;

}  // namespace

void DbusWriter::Align(size_t alignment) {
  bytes_.resize(RoundUp(bytes_.size(), alignment));
}

void DbusWriter::Raw(uint64_t value, size_t size) {
  Align(size);
  for (size_t i = 0; i < size; ++i) {
    size_t byte = std::endian::native == std::endian::little ? i : size - 1 - i;
    bytes_ += static_cast<char>(static_cast<uint8_t>(value >> (8 * byte)));
  }
}

DbusWriter& DbusWriter::Number(char type, uint64_t value) {
  Raw(value, NumberSize(type));
  return *this;
}

DbusWriter& DbusWriter::Text(std::string_view text) {
  Raw(text.size(), 4);
  Append(bytes_, text, '\0');
  return *this;
}

DbusWriter& DbusWriter::Signature(std::string_view signature) {
  Raw(signature.size(), 1);
  Append(bytes_, signature, '\0');
  return *this;
}

DbusWriter& DbusWriter::Struct() {
  Align(8);
  return *this;
}

DbusWriter::Array DbusWriter::Open(char type) {
  Raw(0, 4);
  size_t length = bytes_.size() - 4;
  Align(Alignment(type));
  return {length, bytes_.size()};
}

void DbusWriter::Close(Array array) {
  auto length = static_cast<uint32_t>(bytes_.size() - array.first);
  memcpy(bytes_.data() + array.length, &length, sizeof length);
}

DbusWriter& DbusWriter::Property(std::string_view name, std::string_view signature) {
  return Struct().Text(name).Signature(signature);
}

Result<std::string_view> DbusReader::Take(size_t size) {
  if (bytes_.size() - at_ < size)
    return Damaged("it ends early");
  std::string_view taken = bytes_.substr(at_, size);
  at_ += size;
  return taken;
}

Result<> DbusReader::Align(size_t alignment) {
  TRY(Take(RoundUp(at_, alignment) - at_));
  return {};
}

Result<uint64_t> DbusReader::Number(char type) {
  size_t size = NumberSize(type);
  if (size == 0)
    return Damaged("a number is expected");
  TRY(Align(size));
  std::string_view bytes = TRY(Take(size));
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    size_t at = std::endian::native == std::endian::little ? size - 1 - i : i;
    value = value << 8 | static_cast<uint8_t>(bytes[at]);
  }
  return value;
}

Result<std::string_view> DbusReader::Text(char type) {
  uint64_t size = TRY(Number(type == 'g' ? 'y' : 'u'));
  if (size >= kLargest)
    return Damaged("a text is too long");
  std::string_view text = TRY(Take(static_cast<size_t>(size) + 1));
  if (text.find('\0') != size)
    return Damaged("a text does not end where it says");
  return text.substr(0, static_cast<size_t>(size));
}

std::string BuildDbusMessage(const DbusMessage& message) {
  DbusWriter out;
  out.Number('y', static_cast<uint8_t>(kByteOrder)).Number('y', static_cast<uint8_t>(message.kind));
  out.Number('y', 0).Number('y', kVersion);
  out.Number('u', message.body.size()).Number('u', message.serial);
  DbusWriter::Array fields = out.Open('(');
  for (const FieldRow& row : kFields) {
    const std::string& text = message.*row.text;
    if (text.empty())
      continue;
    out.Struct().Number('y', row.code).Signature({&row.type, 1});
    if (row.type == 'g')
      out.Signature(text);
    else
      out.Text(text);
  }
  if (message.reply_serial != 0)
    out.Struct().Number('y', kReplySerial).Signature("u").Number('u', message.reply_serial);
  out.Close(fields);
  out.Struct();
  return Cat(out.bytes(), message.body);
}

Result<size_t> DbusMessageSize(std::string_view start) {
  DbusReader reader(start);
  uint64_t order = TRY(reader.Number('y'));
  TRY(reader.Number('y'));
  TRY(reader.Number('y'));
  uint64_t version = TRY(reader.Number('y'));
  if (order != static_cast<uint8_t>(kByteOrder) || version != kVersion)
    return Damaged("it is of another byte order or version");
  uint64_t body = TRY(reader.Number('u'));
  TRY(reader.Number('u'));
  uint64_t fields = TRY(reader.Number('u'));
  if (body > kLargest || fields > kLargest)
    return Damaged("it is too long");
  return RoundUp(kDbusStart + static_cast<size_t>(fields), 8) + static_cast<size_t>(body);
}

Result<DbusMessage> ParseDbusMessage(std::string_view bytes) {
  size_t size = TRY(DbusMessageSize(bytes));
  if (size != bytes.size())
    return Damaged("it has another size");
  DbusMessage message;
  message.kind = static_cast<DbusKind>(bytes[1]);
  DbusReader start(bytes.substr(4));
  uint64_t body = TRY(start.Number('u'));
  message.serial = static_cast<uint32_t>(TRY(start.Number('u')));
  uint64_t fields = TRY(start.Number('u'));
  message.body = bytes.substr(size - static_cast<size_t>(body));
  // The fields begin at a multiple of 8, so alignment among them is as in the message.
  DbusReader reader(bytes.substr(kDbusStart, static_cast<size_t>(fields)));
  while (!reader.AtEnd()) {
    TRY(reader.Align(8));
    uint64_t code = TRY(reader.Number('y'));
    std::string_view type = TRY(reader.Text('g'));
    if (type.size() == 1 && NumberSize(type[0]) != 0) {
      uint64_t number = TRY(reader.Number(type[0]));
      if (code == kReplySerial)
        message.reply_serial = static_cast<uint32_t>(number);
      continue;
    }
    if (type != "s" && type != "o" && type != "g")
      return Damaged("a field of its header is of no simple type");
    std::string_view text = TRY(reader.Text(type[0]));
    const FieldRow* row =
        std::ranges::find_if(kFields, [code](const FieldRow& field) { return field.code == code; });
    if (row != std::end(kFields) && row->type == type[0])
      message.*row->text = text;
  }
  return message;
}

}  // namespace wherry::sys
