#include "store/resumed_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "store/archive_split.h"
#include "store/bytes.h"
#include "store/hashing_source.h"
#include "store/layer_recorder.h"

namespace wherry::store {

namespace {

std::unexpected<Error> Short() {
  return Fail(Errc::kCorrupt, "what an interrupted pull has left of the layer is not complete");
}

Result<size_t> ReadSome(int fd, std::span<std::byte> out, uint64_t offset) {
  for (;;) {
    ssize_t count = pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (count >= 0)
      return static_cast<size_t>(count);
    if (errno != EINTR)
      return FailSys("read");
  }
}

class FileSource final : public ByteSource {
 public:
  explicit FileSource(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(ReadSome(fd_.get(), out, position_));
    position_ += count;
    return count;
  }

 private:
  UniqueFd fd_;
  uint64_t position_ = 0;
};

// The first checkpoint.point.output bytes of the archive.
class Replay final : public ByteSource {
 public:
  Replay(const SavedLayer& saved, const Objects& objects)
      : saved_(saved), objects_(objects), end_(saved.checkpoint.point.output) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    if (position_ == end_)
      return 0;
    uint64_t split_end = std::min(end_, saved_.checkpoint.split_bytes);
    bool in_split = position_ < split_end;
    uint64_t left = (in_split ? split_end : end_) - position_;
    auto part = out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), left)));
    size_t count = TRY(in_split ? ReadSplit(part) : ReadFile(part, position_ - split_end));
    if (count == 0)
      return Short();
    position_ += count;
    return count;
  }

 private:
  Result<size_t> ReadSplit(std::span<std::byte> out) {
    if (archive_ == nullptr) {
      UniqueFd headers = TRY(OpenAt(saved_.dir.get(), kSplitPart, O_RDONLY | O_NOFOLLOW));
      headers_ = std::make_unique<FileSource>(std::move(headers));
      auto split = TRY(Decompress(*headers_, Compression::kGzip, limits_, GzipSum::kIgnore));
      archive_ = std::make_unique<ArchiveSource>(
          std::move(split), [this](uint64_t number) { return OpenObject(number); });
    }
    return archive_->Read(out);
  }

  Result<UniqueFd> OpenObject(uint64_t number) {
    if (!log_)
      log_ = TRY(OpenAt(saved_.dir.get(), kObjectsLog, O_RDONLY | O_NOFOLLOW));
    std::array<std::byte, kLogEntryBytes> entry;
    bool there = number <= saved_.checkpoint.objects &&
                 TRY(ReadSome(log_.get(), entry, number * kLogEntryBytes)) == entry.size();
    if (!there)
      return Short();
    std::array<uint8_t, Digest::kSize> digest;
    std::transform(entry.begin(), entry.begin() + digest.size(), digest.begin(),
                   [](std::byte byte) { return static_cast<uint8_t>(byte); });
    return objects_.OpenObject(Digest(digest));
  }

  Result<size_t> ReadFile(std::span<std::byte> out, uint64_t offset) {
    const Digest& twin = saved_.checkpoint.twin;
    if (!file_ && !twin.none())
      file_ = TRY(objects_.OpenObject(twin));
    else if (!file_ && !saved_.file)  // it has become an object since
      file_ = TRY(OpenObject(saved_.checkpoint.objects));
    return ReadSome(file_ ? file_.get() : saved_.file.get(), out, offset);
  }

  const SavedLayer& saved_;
  const Objects& objects_;
  const uint64_t end_;
  const Limits limits_;
  uint64_t position_ = 0;
  UniqueFd log_;
  UniqueFd file_;
  std::unique_ptr<ByteSource> headers_;
  std::unique_ptr<ArchiveSource> archive_;
};

}  // namespace

ResumedSource::ResumedSource(const SavedLayer& saved, const Objects& objects, ByteSource& blob,
                             BlobStart& start, const Limits& limits, PointSink* points)
    : saved_(saved),
      blob_(blob),
      start_(start),
      limits_(limits),
      points_(points),
      there_(std::make_unique<Replay>(saved, objects)),
      verified_(std::make_unique<HashingSource>(
          *there_, HashingSource::Expected{"what is there of the layer", saved.checkpoint.prefix,
                                           saved.checkpoint.point.output})) {}

Result<size_t> ResumedSource::Read(std::span<std::byte> out) {
  if (rest_ == nullptr) {
    size_t count = TRY(verified_->Read(out));
    if (count > 0)
      return count;
    TRY(OpenRest());
  }
  return rest_->Read(out);
}

Result<> ResumedSource::OpenRest() {
  const Checkpoint& checkpoint = saved_.checkpoint;
  auto rest = TRY(DecompressFrom(blob_, checkpoint.point, limits_, points_));
  TRY(start_.StartAt(checkpoint.blob.bytes));
  // Hashed, but not unpacked again.
  std::array<std::byte, 4096> buffer;
  for (uint64_t left = checkpoint.point.input - checkpoint.blob.bytes; left > 0;) {
    auto wanted = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    size_t count = TRY(blob_.Read(std::span(buffer).first(wanted)));
    if (count == 0)
      return Short();
    left -= count;
  }
  rest_ = std::move(rest);
  return {};
}

}  // namespace wherry::store
