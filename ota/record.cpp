#include "ota/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr size_t kCopy = 4096;
constexpr int kCopies = 2;
constexpr std::string_view kMagic = "wherryR1";
constexpr size_t kHeader = 8 + 8 + 4;
constexpr uint32_t kFileMode = 0600;

void PutNumber(std::string& out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i)
    out += static_cast<char>(value >> (8 * i));
}

uint64_t GetNumber(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

std::string_view AsText(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes().data()), Digest::kSize};
}

std::string Encode(uint64_t number, std::string_view payload) {
  std::string copy(kMagic);
  PutNumber(copy, number, 8);
  PutNumber(copy, payload.size(), 4);
  copy += payload;
  Digest digest = Digest::Of(copy);
  copy += AsText(digest);
  copy.resize(kCopy);
  return copy;
}

struct Copy {
  uint64_t number = 0;
  std::string_view payload;
};

std::optional<Copy> Decode(std::string_view bytes) {
  if (bytes.size() < kCopy || !bytes.starts_with(kMagic))
    return std::nullopt;
  auto length = static_cast<size_t>(GetNumber(bytes.substr(16, 4)));
  if (length > RecordFile::kMaxPayload)
    return std::nullopt;
  Digest digest = Digest::Of(bytes.substr(0, kHeader + length));
  if (bytes.substr(kHeader + length, Digest::kSize) != AsText(digest))
    return std::nullopt;
  return Copy{GetNumber(bytes.substr(8, 8)), bytes.substr(kHeader, length)};
}

// The copy a record is written to, so that the one before it stays.
off_t PlaceOf(uint64_t number) {
  return static_cast<off_t>(number % kCopies * kCopy);
}

}  // namespace

Result<RecordFile> RecordFile::Open(std::string path) {
  RecordFile record(std::move(path));
  if (!PathExists(record.path_))
    return record;
  record.file_ = TRY(wherry::Open(record.path_, O_RDWR));
  std::string content = TRY(ReadAll(record.file_.get(), kCopies * kCopy, record.path_));
  bool valid = false;
  for (size_t at = 0; at < content.size(); at += kCopy) {
    std::optional<Copy> copy = Decode(std::string_view(content).substr(at, kCopy));
    if (copy && (!valid || copy->number > record.number_)) {
      record.number_ = copy->number;
      record.payload_ = copy->payload;
      valid = true;
    }
  }
  if (!valid)
    return Fail(Errc::kCorrupt,
                Cat(record.path_, ": both copies of the update's record are damaged"));
  return record;
}

// Complete under its name, or what was there before.
Result<> RecordFile::Create(std::string_view copy) {
  std::string other(kCopy, '\0');
  bool first = PlaceOf(number_ + 1) == 0;
  TRY(ReplaceFile(path_, first ? Cat(copy, other) : Cat(other, copy), kFileMode,
                  Durability::kPersistent));
  file_ = TRY(wherry::Open(path_, O_RDWR));
  return {};
}

Result<> RecordFile::Store(std::string payload) {
  if (payload.size() > kMaxPayload)
    return Fail(Errc::kInvalid, Cat(path_, ": a record of ", payload.size(), " bytes is too long"));
  std::string copy = Encode(number_ + 1, payload);
  if (file_) {
    ssize_t written = pwrite(file_.get(), copy.data(), copy.size(), PlaceOf(number_ + 1));
    if (written < 0)
      return FailSys("pwrite", path_);
    if (static_cast<size_t>(written) != copy.size())
      return Fail(Errc::kIo, Cat(path_, ": written in part only"));
    if (fdatasync(file_.get()) != 0)
      return FailSys("fdatasync", path_);
  } else {
    TRY(Create(copy));
  }
  ++number_;
  payload_ = std::move(payload);
  return {};
}

}  // namespace wherry::ota
