#include "store/objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/file_hash.h"
#include "store/space.h"

namespace wherry::store {

namespace {

constexpr uint32_t kObjectMode = 0400;
constexpr size_t kCopyBytes = size_t{64} << 10;
constexpr size_t kMaxTwins = 4;
constexpr uint64_t kSpaceCheckEvery = uint64_t{16} << 20;

}  // namespace

size_t ObjectGroup(const Digest& digest) {
  return digest.bytes()[0] >> 4;
}

std::string ObjectPath(const Digest& digest) {
  return digest.hex().insert(1, 1, '/');
}

Result<Objects> Objects::Open(int store_dir, DiskOps& ops) {
  TRY(ops.MakeDir(store_dir, kObjectsName));
  UniqueFd dir = TRY(OpenAt(store_dir, kObjectsName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return Objects(std::move(dir), ops);
}

void Objects::SetFactory(int dir, bool counts) {
  factory_ = dir;
  factory_counts_ = counts;
}

void Objects::Distrust(const Digest& digest) {
  std::lock_guard lock(doubts_->mutex);
  doubts_->bad.insert(digest);
}

bool Objects::IsDistrusted(const Digest& digest) const {
  std::lock_guard lock(doubts_->mutex);
  return doubts_->bad.contains(digest);
}

std::vector<Digest> Objects::Distrusted() const {
  std::lock_guard lock(doubts_->mutex);
  return {doubts_->bad.begin(), doubts_->bad.end()};
}

Result<bool> Objects::TrustAgain(const Digest& digest) {
  UniqueFd fd = TRY(OpenAt(factory_, ObjectPath(digest), O_RDONLY | O_NOFOLLOW));
  if (TRY(HashFile(fd.get(), {})) != digest)
    return false;
  std::lock_guard lock(doubts_->mutex);
  doubts_->bad.erase(digest);
  return true;
}

// May be there, that is.
bool Objects::InFactory(const Digest& digest) const {
  return factory_ >= 0 && !IsDistrusted(digest);
}

bool Objects::IsDoubted(const Digest& digest) const {
  std::lock_guard lock(doubts_->mutex);
  return doubts_->digests.contains(digest);
}

void Objects::Trust(const Digest& digest) const {
  std::lock_guard lock(doubts_->mutex);
  doubts_->digests.erase(digest);
}

void Objects::Doubt(const std::vector<ObjectSize>& objects) {
  std::lock_guard lock(doubts_->mutex);
  for (const ObjectSize& object : objects)
    doubts_->digests.insert(object.digest);
}

bool Objects::Has(const Digest& digest, uint64_t size) const {
  return IsThere(digest, size) && !IsDoubted(digest);
}

bool Objects::Holds(const Digest& digest, std::span<const std::byte> content) const {
  if (!IsThere(digest, content.size()))
    return false;
  if (!IsDoubted(digest))
    return true;
  auto fd = OpenObject(digest);
  auto found = fd ? ReadAll(fd->get(), content.size(), "an object") : Result<std::string>();
  bool same = found && found->size() == content.size() &&
              memcmp(found->data(), content.data(), content.size()) == 0;
  if (same)
    Trust(digest);
  return same;
}

bool Objects::IsThere(const Digest& digest, uint64_t size) const {
  Found found = Find(digest);
  return (found.dir == dir_.get() || factory_counts_) && S_ISREG(found.info.st_mode) &&
         static_cast<uint64_t>(found.info.st_size) == size;
}

Objects::Found Objects::Find(const Digest& digest) const {
  std::string path = ObjectPath(digest);
  Found found;
  if (fstatat(dir_.get(), path.c_str(), &found.info, AT_SYMLINK_NOFOLLOW) == 0) {
    found.dir = dir_.get();
    return found;
  }
  found.error = errno;
  if (found.error == ENOENT && InFactory(digest) &&
      fstatat(factory_, path.c_str(), &found.info, AT_SYMLINK_NOFOLLOW) == 0)
    found.dir = factory_;
  return found;
}

Result<UniqueFd> Objects::OpenOwn(const Digest& digest) const {
  return OpenAt(dir_.get(), ObjectPath(digest), O_RDONLY | O_NOFOLLOW);
}

Result<UniqueFd> Objects::OpenObject(const Digest& digest) const {
  auto own = OpenOwn(digest);
  if (own || own.error().code() != Errc::kNotFound || !InFactory(digest))
    return own;
  return OpenAt(factory_, ObjectPath(digest), O_RDONLY | O_NOFOLLOW);
}

Result<> Objects::Place(int dir, const std::string& name, const Digest& digest) {
  if (sealed_)
    TRY(ops_->Seal(dir, name));
  Trust(digest);  // nothing else counts on it before it is there
  auto placed = ops_->Rename(dir, name, dir_.get(), ObjectPath(digest));
  if (placed || placed.error().code() != Errc::kNotFound)
    return placed;
  TRY(ops_->MakeDir(dir_.get(), std::string(1, kObjectGroups[ObjectGroup(digest)])));
  return ops_->Rename(dir, name, dir_.get(), ObjectPath(digest));
}

Result<uint64_t> Objects::Remove(const Digest& digest) {
  std::string path = ObjectPath(digest);
  struct stat info;
  if (fstatat(dir_.get(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? Result<uint64_t>(0) : FailSys("stat", path);
  TRY(ops_->RemoveFile(dir_.get(), path));
  return info.st_nlink > 1 ? 0 : static_cast<uint64_t>(info.st_blocks) * 512;
}

Result<> Objects::ForEach(const DigestRange& range, Strangers strangers,
                          const std::function<Result<>(const Digest&)>& use) const {
  constexpr size_t kPerGroup = DigestRange::kAll / kObjectGroups.size();
  for (size_t group = range.first / kPerGroup; group * kPerGroup < range.end; ++group) {
    std::string prefix(1, kObjectGroups[group]);
    auto dir = OpenAt(dir_.get(), prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir && dir.error().code() == Errc::kNotFound)
      continue;
    UniqueFd opened = TRY(std::move(dir));
    TRY(ForEachEntry(opened.get(), [&](const char* name) -> Result<> {
      auto digest = Digest::ParseHex(prefix + name);
      if (!digest)
        return strangers == Strangers::kRemove ? ops_->RemoveFile(opened.get(), name) : Result<>();
      return range.Has(*digest) ? use(*digest) : Result<>();
    }));
  }
  return {};
}

Result<> ObjectWriter::CheckSpace(uint64_t more) {
  unchecked_bytes_ += more;
  if (unchecked_bytes_ < kSpaceCheckEvery)
    return {};
  unchecked_bytes_ = 0;
  return CheckFreeSpace(dir_, more, reserve_bytes_);
}

Result<Digest> ObjectWriter::Put(std::span<const std::byte> content) {
  Hasher hasher;
  hasher.Update(content);
  Digest digest = hasher.Finish();
  if (objects_.Holds(digest, content)) {
    known_bytes_ += content.size();
    return digest;
  }
  TRY(CheckSpace(content.size()));
  UniqueFd fd = TRY(ops_.Create(dir_, kPartName, kObjectMode));
  TRY(ops_.Write(fd.get(), content, 0));
  fd.Reset();
  TRY(objects_.Place(dir_, kPartName, digest));
  added_.push_back(digest);
  written_bytes_ += content.size();
  return digest;
}

Result<> ObjectWriter::Begin(uint64_t size, const Digest* told) {
  stream_.emplace(size);
  std::vector<Digest> twins;
  if (told != nullptr)
    twins.push_back(*told);
  else if (find_twins_)
    twins = find_twins_(size);
  for (const Digest& digest : twins) {
    auto fd = objects_.OpenCounted(digest);
    struct stat info;
    bool fits = fd && fstat(fd->get(), &info) == 0 && static_cast<uint64_t>(info.st_size) == size;
    if (fits && stream_->twins.size() < kMaxTwins)
      stream_->twins.push_back({digest, *std::move(fd)});
  }
  if (offered_.fd >= 0)
    stream_->twins.push_back({{}, UniqueFd(fcntl(offered_.fd, F_DUPFD_CLOEXEC, 0))});
  return stream_->twins.empty() ? StartWriting(nullptr) : Result<>();
}

std::optional<ObjectWriter::Given> ObjectWriter::given() const {
  if (!stream_)
    return std::nullopt;
  Digest twin = stream_->twins.empty() ? Digest() : stream_->twins.back().digest;
  if (!stream_->twins.empty() && twin.none())
    return std::nullopt;
  return Given{stream_->position, twin};
}

// Takes the file over up to where it has been compared. What it has beyond is written over, and
// stays until then: a checkpoint may count on it.
Result<> ObjectWriter::GoOnWith(Twin& begun) {
  TRY(ops_.Rename(offered_.dir, kPartName, dir_, kPartName));
  offered_ = {};
  stream_->fd = std::move(begun.fd);
  std::vector<std::byte> buffer(kCopyBytes);
  for (uint64_t at = 0; at < stream_->position;) {
    auto wanted = static_cast<size_t>(std::min<uint64_t>(stream_->position - at, kCopyBytes));
    ssize_t count = pread(stream_->fd.get(), buffer.data(), wanted, static_cast<off_t>(at));
    if (count <= 0)
      return FailSys("read", "what was begun of an object");
    stream_->hasher.Update(std::span(buffer).first(static_cast<size_t>(count)));
    at += static_cast<uint64_t>(count);
  }
  return {};
}

// What was only compared until now, with `twin`, becomes a file of its own.
Result<> ObjectWriter::StartWriting(Twin* twin) {
  if (twin != nullptr && twin->digest.none() && stream_->position > 0)
    return GoOnWith(*twin);
  stream_->fd = TRY(ops_.Create(dir_, kPartName, kObjectMode));
  std::vector<std::byte> buffer(twin != nullptr ? kCopyBytes : 0);
  uint64_t end = std::exchange(stream_->position, 0);
  while (stream_->position < end) {
    auto wanted = static_cast<size_t>(std::min<uint64_t>(end - stream_->position, kCopyBytes));
    ssize_t count =
        pread(twin->fd.get(), buffer.data(), wanted, static_cast<off_t>(stream_->position));
    if (count <= 0)
      return count == 0 ? Fail(Errc::kCorrupt, "an object became shorter while it was read")
                        : FailSys("read", "an object");
    TRY(Append(std::span(buffer).first(static_cast<size_t>(count)), stream_->position));
  }
  return {};
}

Result<bool> ObjectWriter::IsTwin(const Twin& twin, std::span<const std::byte> bytes) const {
  std::byte buffer[16384];
  uint64_t at = stream_->position;
  while (!bytes.empty()) {
    ssize_t count =
        pread(twin.fd.get(), buffer, std::min(sizeof buffer, bytes.size()), static_cast<off_t>(at));
    if (count < 0)
      return FailSys("read", "an object");
    auto length = static_cast<size_t>(count);
    if (count == 0 || memcmp(buffer, bytes.data(), length) != 0)
      return false;
    bytes = bytes.subspan(length);
    at += length;
  }
  return true;
}

void ObjectWriter::HashZeros(uint64_t count) {
  const std::array<std::byte, 4096> zeros{};
  for (; count > 0; count -= std::min<uint64_t>(count, zeros.size()))
    stream_->hasher.Update(
        std::span(zeros).first(static_cast<size_t>(std::min<uint64_t>(count, zeros.size()))));
}

Result<> ObjectWriter::Append(std::span<const std::byte> bytes, uint64_t offset) {
  TRY(CheckSpace(bytes.size()));
  bool hole = offset > stream_->position;
  if (hole && ftruncate(stream_->fd.get(), static_cast<off_t>(stream_->position)) != 0)
    return FailSys("truncate");
  TRY(ops_.Write(stream_->fd.get(), bytes, offset));
  HashZeros(offset - stream_->position);
  stream_->hasher.Update(bytes);
  stream_->position = offset + bytes.size();
  written_bytes_ += bytes.size();
  return {};
}

Result<> ObjectWriter::Write(std::span<const std::byte> bytes, uint64_t offset) {
  if (offset < stream_->position || offset > stream_->size || bytes.size() > stream_->size - offset)
    return Fail(Errc::kInternal, "content out of order");
  std::vector<Twin>& twins = stream_->twins;
  while (!twins.empty()) {
    // An object that cannot be read is none that could be relied on; nor are holes looked for.
    if (offset == stream_->position && IsTwin(twins.back(), bytes).value_or(false)) {
      stream_->position += bytes.size();
      return {};
    }
    Twin last = std::move(twins.back());
    twins.pop_back();
    if (stream_->position > 0)
      twins.clear();  // the others were not looked at from the start
    if (twins.empty())
      TRY(StartWriting(&last));
  }
  return Append(bytes, offset);
}

Result<Digest> ObjectWriter::End() {
  uint64_t size = stream_->size;
  Digest twin = stream_->twins.empty() ? Digest() : stream_->twins.back().digest;
  // One that is doubted may have other content than its name says, and been compared with that.
  auto is_sound = [&] {
    if (objects_.Has(twin, size))
      return true;
    auto actual = HashFile(stream_->twins.back().fd.get(), {});
    return actual && *actual == twin;
  };
  if (!twin.none() && stream_->position == size && is_sound()) {
    stream_.reset();
    known_bytes_ += size;
    objects_.Trust(twin);
    return twin;
  }
  if (!stream_->twins.empty())
    TRY(StartWriting(&stream_->twins.back()));  // a hole to the end
  uint64_t position = stream_->position;
  HashZeros(size - position);
  for (uint64_t end : {position, size}) {
    if (ftruncate(stream_->fd.get(), static_cast<off_t>(end)) != 0)
      return FailSys("truncate");
  }
  Digest digest = stream_->hasher.Finish();
  stream_.reset();
  if (objects_.Has(digest, size)) {
    known_bytes_ += size;
    discarded_bytes_ += size;
    TRY(ops_.RemoveFile(dir_, kPartName));
    return digest;
  }
  TRY(objects_.Place(dir_, kPartName, digest));
  added_.push_back(digest);
  return digest;
}

}  // namespace wherry::store
