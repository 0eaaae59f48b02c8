#include "store/tar_delta.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/text.h"
#include "store/decompress.h"
#include "store/layer_path.h"

namespace wherry::store {

namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;
constexpr size_t kAddendBytes = size_t{16} << 10;

std::unexpected<Error> EndsEarly() {
  return Fail(Errc::kCorrupt, "the delta ends too early");
}

}  // namespace

TarDeltaSource::TarDeltaSource(ByteSource& delta, std::unique_ptr<LayerFiles> files,
                               const Limits& limits)
    : delta_(delta), files_(std::move(files)), limits_(limits) {}

Result<size_t> TarDeltaSource::Read(std::span<std::byte> out) {
  if (ops_ == nullptr)
    TRY(Begin());
  while (left_ == 0) {
    if (!TRY(NextOp()))
      return 0;
  }
  out = out.first(static_cast<size_t>(std::min<uint64_t>(left_, out.size())));
  size_t count = out.size();
  switch (op_) {
    case DeltaOp::kData:
      count = TRY(Take(out));
      break;
    case DeltaOp::kAddData:
      count = TRY(Take(out.first(std::min(out.size(), kAddendBytes))));
      TRY(AddFile(out.first(count)));
      break;
    default:
      TRY(file_.ReadAt(position_, out));
      position_ += count;
  }
  left_ -= count;
  return count;
}

Result<> TarDeltaSource::Begin() {
  std::array<std::byte, kTarDeltaMagic.size()> magic{};
  size_t have = 0;
  while (have < magic.size()) {
    size_t count = TRY(delta_.Read(std::span(magic).subspan(have)));
    if (count == 0)
      break;
    have += count;
  }
  if (have < magic.size() || memcmp(magic.data(), kTarDeltaMagic.data(), magic.size()) != 0)
    return Fail(Errc::kInvalid, "the content is no delta in the tar-diff format");
  ops_ = TRY(DecompressZstd(delta_, limits_));
  buffer_.resize(kBufferBytes);
  return {};
}

// False at the end of the delta.
Result<bool> TarDeltaSource::NextOp() {
  if (begin_ == end_ && !TRY(Fill()))
    return false;
  auto op = TRY(Byte());
  uint64_t size = TRY(Number());
  if (op > static_cast<uint8_t>(DeltaOp::kSeek))
    return Fail(Errc::kInvalid, Cat("the delta has an unknown operation (", op, ")"));
  op_ = static_cast<DeltaOp>(op);
  if (op_ == DeltaOp::kOpen) {
    TRY(OpenFile(size));
    return true;
  }
  if (op_ == DeltaOp::kData) {
    left_ = size;
    return true;
  }
  if (!file_open_)
    return Fail(Errc::kInvalid, "the delta reads a file before it has opened one");
  if (op_ == DeltaOp::kSeek) {
    if (size > file_.size())
      return Fail(Errc::kInvalid, "the delta goes beyond the end of a file of the old layer");
    position_ = size;
    return true;
  }
  if (size > file_.size() - position_)
    return Fail(Errc::kInvalid, "the delta reads beyond the end of a file of the old layer");
  left_ = size;
  return true;
}

Result<> TarDeltaSource::OpenFile(uint64_t path_bytes) {
  if (path_bytes > kMaxPathBytes)
    return Fail(Errc::kInvalid, "the delta has a path that is too long");
  // Each costs a look-up and a system call, for a few bytes that compress well.
  if (opened_++ > limits_.max_layer_entries)
    return Fail(Errc::kInvalid, Cat("the delta opens more than the limit of ",
                                    limits_.max_layer_entries, " files"));
  std::string path(static_cast<size_t>(path_bytes), '\0');
  auto rest = std::as_writable_bytes(std::span(path));
  while (!rest.empty())
    rest = rest.subspan(TRY(Take(rest)));
  auto file = files_->Open(path);
  if (!file) {
    Errc code = file.error().code();
    return std::unexpected(
        std::move(file)
            .error()
            .WithCode(code == Errc::kNotFound ? Errc::kInvalid : code)
            .Wrap(Cat("the delta needs the old layer's file ", QuoteName(path))));
  }
  file_ = *std::move(file);
  file_open_ = true;
  position_ = 0;
  return {};
}

Result<> TarDeltaSource::AddFile(std::span<std::byte> bytes) {
  addend_.resize(kAddendBytes);
  auto addend = std::span(addend_).first(bytes.size());
  TRY(file_.ReadAt(position_, addend));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] =
        static_cast<std::byte>(static_cast<uint8_t>(bytes[i]) + static_cast<uint8_t>(addend[i]));
  }
  position_ += bytes.size();
  return {};
}

// False at the end.
Result<bool> TarDeltaSource::Fill() {
  begin_ = 0;
  end_ = TRY(ops_->Read(buffer_));
  return end_ > 0;
}

Result<uint8_t> TarDeltaSource::Byte() {
  if (begin_ == end_ && !TRY(Fill()))
    return EndsEarly();
  return static_cast<uint8_t>(buffer_[begin_++]);
}

Result<uint64_t> TarDeltaSource::Number() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = TRY(Byte());
    if (shift == 63 && byte > 1)
      break;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0)
      return value;
  }
  return Fail(Errc::kInvalid, "the delta has a size that is out of range");
}

Result<size_t> TarDeltaSource::Take(std::span<std::byte> out) {
  if (begin_ == end_ && !TRY(Fill()))
    return EndsEarly();
  size_t count = std::min(out.size(), end_ - begin_);
  memcpy(out.data(), buffer_.data() + begin_, count);
  begin_ += count;
  return count;
}

}  // namespace wherry::store
