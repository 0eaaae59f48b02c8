#include "store/archive_split.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "store/bytes.h"

namespace wherry::store {

namespace {

constexpr size_t kBuffer = size_t{16} << 10;
constexpr int kLevel = 6;
constexpr int kMemory = 7;            // 96 KiB with the window; a quarter of what is usual
constexpr int kWindowBits = 14 + 16;  // in the form of gzip
constexpr uint64_t kNoObject = std::numeric_limits<uint64_t>::max();

std::unexpected<Error> Damaged() {
  return Fail(Errc::kCorrupt, "the headers of the layer's archive are damaged");
}

}  // namespace

// Parts: an even number is twice the count of raw bytes that follow; an odd one twice the number of
// an object and one, followed by offset and size.
struct SplitWriter::State {
  State(UniqueFd file, DiskOps& operations) : fd(std::move(file)), ops(operations) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { deflateEnd(&stream); }

  Result<> Deflate(std::string_view bytes, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    for (int rc = Z_OK;;) {
      char out[kBuffer];
      stream.next_out = reinterpret_cast<Bytef*>(out);
      stream.avail_out = sizeof out;
      rc = deflate(&stream, flush);
      size_t count = sizeof out - stream.avail_out;
      TRY(ops.Write(fd.get(), std::as_bytes(std::span(out, count)), position));
      position += count;
      if (stream.avail_out > 0 || rc == Z_STREAM_END)
        return {};
    }
  }

  Result<> FlushRaw() {
    if (raw.empty())
      return {};
    std::string head;
    PutVar(head, uint64_t{raw.size()} << 1);
    TRY(Deflate(head, Z_NO_FLUSH));
    TRY(Deflate(raw, Z_NO_FLUSH));
    raw.clear();
    return {};
  }

  UniqueFd fd;
  DiskOps& ops;
  z_stream stream{};
  uint64_t position = 0;
  uint64_t archive_bytes = 0;
  std::string raw;  // not yet a part
};

Result<SplitWriter> SplitWriter::Create(UniqueFd fd, DiskOps& ops) {
  auto state = std::make_unique<State>(std::move(fd), ops);
  if (deflateInit2(&state->stream, kLevel, Z_DEFLATED, kWindowBits, kMemory, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    return Fail(Errc::kNoSpace, "out of memory for a layer's headers");
  return SplitWriter(std::move(state));
}

SplitWriter::SplitWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SplitWriter::SplitWriter(SplitWriter&&) noexcept = default;
SplitWriter::~SplitWriter() = default;

Result<> SplitWriter::Raw(std::span<const std::byte> bytes) {
  state_->archive_bytes += bytes.size();
  state_->raw.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return state_->raw.size() < kBuffer ? Result<>() : state_->FlushRaw();
}

Result<> SplitWriter::Object(uint64_t number, uint64_t offset, uint64_t size) {
  TRY(state_->FlushRaw());
  state_->archive_bytes += size;
  std::string part;
  PutVar(part, number << 1 | 1);
  PutVar(part, offset);
  PutVar(part, size);
  return state_->Deflate(part, Z_NO_FLUSH);
}

uint64_t SplitWriter::archive_bytes() const {
  return state_->archive_bytes;
}

Result<> SplitWriter::Flush() {
  TRY(state_->FlushRaw());
  return state_->Deflate({}, Z_SYNC_FLUSH);
}

Result<> SplitWriter::Finish() {
  TRY(state_->FlushRaw());
  return state_->Deflate({}, Z_FINISH);
}

// --- Reading

ArchiveSource::ArchiveSource(std::unique_ptr<ByteSource> split, OpenObject open_object)
    : split_(std::move(split)), open_object_(std::move(open_object)), object_number_(kNoObject) {}

Result<uint8_t> ArchiveSource::Byte() {
  if (begin_ == buffer_.size() && !split_ended_) {
    buffer_.resize(kBuffer);
    buffer_.resize(TRY(split_->Read(std::as_writable_bytes(std::span(buffer_)))));
    begin_ = 0;
    split_ended_ = buffer_.empty();
  }
  if (begin_ == buffer_.size())
    return Damaged();
  return static_cast<uint8_t>(buffer_[begin_++]);
}

Result<uint64_t> ArchiveSource::Number() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = TRY(Byte());
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0)
      return value;
  }
  return Damaged();
}

// False at the end of the archive.
Result<bool> ArchiveSource::NextPart() {
  auto first = Number();
  if (!first)
    return split_ended_ ? Result<bool>(false) : std::unexpected(std::move(first).error());
  if ((*first & 1) == 0) {
    object_.Reset();
    object_number_ = kNoObject;
    left_ = *first >> 1;
    return true;
  }
  uint64_t number = *first >> 1;
  offset_ = TRY(Number());
  left_ = TRY(Number());
  if (number != object_number_)
    object_ = TRY(open_object_(number));
  object_number_ = number;
  return true;
}

Result<std::optional<uint64_t>> ArchiveSource::SkipPart() {
  if (!TRY(NextPart()))
    return std::nullopt;
  uint64_t size = left_;
  for (uint64_t raw = object_number_ == kNoObject ? left_ : 0; raw > 0;) {
    if (begin_ == buffer_.size()) {
      TRY(Byte());  // fills the buffer
      --begin_;
    }
    auto step = static_cast<size_t>(std::min<uint64_t>(raw, buffer_.size() - begin_));
    begin_ += step;
    raw -= step;
  }
  left_ = 0;
  return size;
}

Result<uint64_t> SizeOfArchive(std::unique_ptr<ByteSource> split) {
  ArchiveSource parts(std::move(split), [](uint64_t) -> Result<UniqueFd> { return UniqueFd(); });
  for (uint64_t total = 0;;) {
    auto size = TRY(parts.SkipPart());
    if (!size)
      return total;
    if (*size > std::numeric_limits<uint64_t>::max() - total)
      return Damaged();
    total += *size;
  }
}

Result<size_t> ArchiveSource::Read(std::span<std::byte> out) {
  while (left_ == 0) {
    if (!TRY(NextPart()))
      return 0;
  }
  auto wanted = static_cast<size_t>(std::min<uint64_t>(left_, out.size()));
  if (object_) {
    ssize_t count;
    do {
      count = pread(object_.get(), out.data(), wanted, static_cast<off_t>(offset_));
    } while (count < 0 && errno == EINTR);
    if (count < 0)
      return FailSys("read", "an object");
    if (count == 0)
      return Fail(Errc::kCorrupt, "an object of the layer is shorter than it was");
    offset_ += static_cast<uint64_t>(count);
    left_ -= static_cast<uint64_t>(count);
    return static_cast<size_t>(count);
  }
  if (begin_ == buffer_.size()) {  // fills the buffer
    out[0] = static_cast<std::byte>(TRY(Byte()));
    --left_;
    return 1;
  }
  size_t count = std::min(wanted, buffer_.size() - begin_);
  memcpy(out.data(), buffer_.data() + begin_, count);
  begin_ += count;
  left_ -= count;
  return count;
}

}  // namespace wherry::store
