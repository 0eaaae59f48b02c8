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

std::string Block(std::string_view name, char type, uint32_t mode, uint64_t size) {
  std::string block(kTarBlock, '\0');
  memcpy(block.data(), name.data(), name.size());
  PutOctal(block, 100, 7, mode);
  PutOctal(block, 108, 7, 0);
  PutOctal(block, 116, 7, 0);
  PutOctal(block, 124, 11, size);
  PutOctal(block, 136, 11, 0);
  block[156] = type;
  memcpy(block.data() + 257, "ustar\00000", 8);
  PutOctal(block, 329, 7, 0);
  PutOctal(block, 337, 7, 0);
  memset(block.data() + kChecksumAt, ' ', kChecksumSize);
  uint32_t sum = 0;
  for (char c : block)
    sum += static_cast<uint8_t>(c);
  PutOctal(block, kChecksumAt, 6, sum);
  block[kChecksumAt + 6] = '\0';
  return block;
}

// "LENGTH key=value\n", where LENGTH counts itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  size_t rest = key.size() + value.size() + 3;
  size_t length = rest + Cat(rest).size();
  length = rest + Cat(length).size();
  return Cat(length, " ", key, "=", value, "\n");
}

}  // namespace

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
