#include "store/objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/space.h"

namespace wherry::store {

namespace {

constexpr const char* kPartName = "part";
constexpr uint32_t kObjectMode = 0400;
constexpr uint64_t kSpaceCheckEvery = uint64_t{16} << 20;

std::string GroupName(uint8_t group) {
  constexpr std::string_view kHex = "0123456789abcdef";
  return {kHex[group >> 4], kHex[group & 15]};
}

}  // namespace

std::string ObjectPath(const Digest& digest) {
  return digest.hex().insert(2, 1, '/');
}

Result<Objects> Objects::Open(int store_dir, DiskOps& ops) {
  TRY(ops.MakeDir(store_dir, kObjectsName));
  UniqueFd dir = TRY(OpenAt(store_dir, kObjectsName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return Objects(std::move(dir), ops);
}

bool Objects::Has(const Digest& digest, uint64_t size) const {
  struct stat info;
  return fstatat(dir_.get(), ObjectPath(digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) == size;
}

Result<UniqueFd> Objects::OpenObject(const Digest& digest) const {
  return OpenAt(dir_.get(), ObjectPath(digest), O_RDONLY | O_NOFOLLOW);
}

Result<> Objects::Place(int dir, const std::string& name, const Digest& digest) {
  auto placed = ops_->Rename(dir, name, dir_.get(), ObjectPath(digest));
  if (placed || placed.error().code() != Errc::kNotFound)
    return placed;
  TRY(ops_->MakeDir(dir_.get(), GroupName(digest.bytes()[0])));
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

Result<std::vector<Digest>> Objects::List(uint8_t group) {
  std::vector<Digest> digests;
  std::string prefix = GroupName(group);
  auto dir = OpenAt(dir_.get(), prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().code() == Errc::kNotFound)
    return digests;
  UniqueFd opened = TRY(std::move(dir));
  std::vector<std::string> names = TRY(ListDirFd(opened.get()));
  for (const std::string& name : names) {
    auto digest = Digest::ParseHex(prefix + name);
    if (digest)
      digests.push_back(*digest);
    else
      TRY(ops_->RemoveFile(opened.get(), name));
  }
  return digests;
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
  if (objects_.Has(digest, content.size())) {
    known_bytes_ += content.size();
    return digest;
  }
  TRY(CheckSpace(content.size()));
  UniqueFd fd = TRY(ops_.Create(dir_, kPartName, kObjectMode));
  TRY(ops_.Write(fd.get(), content, 0));
  TRY(objects_.Place(dir_, kPartName, digest));
  added_.push_back(digest);
  written_bytes_ += content.size();
  return digest;
}

Result<> ObjectWriter::Begin(uint64_t size, const Digest* told) {
  stream_.emplace(size);
  if (told != nullptr && objects_.Has(*told, size))
    stream_->known = *told;
  else
    stream_->fd = TRY(ops_.Create(dir_, kPartName, kObjectMode));
  return {};
}

void ObjectWriter::HashZeros(uint64_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (; count > 0; count -= std::min<uint64_t>(count, kZeros.size()))
    stream_->hasher.Update(
        std::span(kZeros).first(static_cast<size_t>(std::min<uint64_t>(count, kZeros.size()))));
}

Result<> ObjectWriter::Write(std::span<const std::byte> bytes, uint64_t offset) {
  if (offset < stream_->position || offset > stream_->size || bytes.size() > stream_->size - offset)
    return Fail(Errc::kInternal, "content out of order");
  if (!stream_->known) {
    TRY(CheckSpace(bytes.size()));
    TRY(ops_.Write(stream_->fd.get(), bytes, offset));
    written_bytes_ += bytes.size();
  }
  HashZeros(offset - stream_->position);
  stream_->hasher.Update(bytes);
  stream_->position = offset + bytes.size();
  return {};
}

Result<Digest> ObjectWriter::End() {
  HashZeros(stream_->size - stream_->position);
  if (stream_->known) {
    Digest digest = stream_->hasher.Finish();
    bool same = digest == *stream_->known;
    known_bytes_ += stream_->size;
    stream_.reset();
    return same ? Result<Digest>(digest)
                : Fail(Errc::kCorrupt,
                       Cat("its content is ", digest.string(), ", not what it was said to be"));
  }
  if (ftruncate(stream_->fd.get(), static_cast<off_t>(stream_->size)) != 0)
    return FailSys("truncate");
  Digest digest = stream_->hasher.Finish();
  uint64_t size = stream_->size;
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
