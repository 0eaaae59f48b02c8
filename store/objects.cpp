#include "store/objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/file_at.h"
#include "store/space.h"

namespace wherry::store {

namespace {

constexpr const char* kObjectsName = "obj";
constexpr const char* kStreamName = "part";
constexpr uint32_t kObjectMode = 0400;
constexpr uint64_t kSpaceCheckEvery = uint64_t{16} << 20;

bool IsObject(int dir, const Digest& digest, uint64_t size) {
  struct stat info;
  return fstatat(dir, ObjectPath(digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) == size;
}

}  // namespace

std::string ObjectPath(const Digest& digest) {
  return digest.hex().insert(2, 1, '/');
}

Result<Objects> Objects::Open(int store_dir) {
  TRY(MakeDirAt(store_dir, kObjectsName));
  return Objects(TRY(OpenAt(store_dir, kObjectsName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)));
}

bool Objects::Has(const Digest& digest, uint64_t size) const {
  return IsObject(dir_.get(), digest, size);
}

Result<UniqueFd> Objects::OpenObject(const Digest& digest) const {
  return OpenAt(dir_.get(), ObjectPath(digest), O_RDONLY | O_NOFOLLOW);
}

bool ObjectStage::Known(const Digest& digest, uint64_t size) const {
  return objects_.Has(digest, size) || IsObject(dir_.get(), digest, size);
}

Result<> ObjectStage::MakeParent(const Digest& digest) {
  return MakeDirAt(dir_.get(), digest.hex().substr(0, 2));
}

Result<> ObjectStage::CheckSpace(uint64_t more) {
  unchecked_bytes_ += more;
  if (unchecked_bytes_ < kSpaceCheckEvery)
    return {};
  unchecked_bytes_ = 0;
  return CheckFreeSpace(dir_.get(), more, options_.reserve_bytes);
}

Result<Digest> ObjectStage::Put(std::span<const std::byte> content) {
  Hasher hasher;
  hasher.Update(content);
  Digest digest = hasher.Finish();
  if (Known(digest, content.size())) {
    known_bytes_ += content.size();
    return digest;
  }
  TRY(CheckSpace(content.size()));
  TRY(MakeParent(digest));
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
  UniqueFd fd = TRY(OpenAt(dir_.get(), ObjectPath(digest), kFlags, kObjectMode));
  if (auto written = WriteAt(fd.get(), content, 0); !written) {
    unlinkat(dir_.get(), ObjectPath(digest).c_str(), 0);
    return std::unexpected(std::move(written).error());
  }
  written_bytes_ += content.size();
  return digest;
}

Result<> ObjectStage::Begin(uint64_t size) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
  UniqueFd fd = TRY(OpenAt(dir_.get(), kStreamName, kFlags, kObjectMode));
  stream_.emplace(std::move(fd), size);
  return {};
}

void ObjectStage::HashZeros(uint64_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (; count > 0; count -= std::min<uint64_t>(count, kZeros.size()))
    stream_->hasher.Update(
        std::span(kZeros).first(static_cast<size_t>(std::min<uint64_t>(count, kZeros.size()))));
}

Result<> ObjectStage::Write(std::span<const std::byte> bytes, uint64_t offset) {
  if (offset < stream_->position || offset > stream_->size || bytes.size() > stream_->size - offset)
    return Fail(Errc::kInternal, "content out of order");
  TRY(CheckSpace(bytes.size()));
  TRY(WriteAt(stream_->fd.get(), bytes, offset));
  HashZeros(offset - stream_->position);
  stream_->hasher.Update(bytes);
  stream_->position = offset + bytes.size();
  written_bytes_ += bytes.size();
  return {};
}

Result<Digest> ObjectStage::End() {
  HashZeros(stream_->size - stream_->position);
  if (ftruncate(stream_->fd.get(), static_cast<off_t>(stream_->size)) != 0)
    return FailSys("truncate");
  Digest digest = stream_->hasher.Finish();
  uint64_t size = stream_->size;
  stream_.reset();
  if (Known(digest, size)) {
    known_bytes_ += size;
    discarded_bytes_ += size;
    if (unlinkat(dir_.get(), kStreamName, 0) != 0)
      return FailSys("unlink", kStreamName);
    return digest;
  }
  TRY(MakeParent(digest));
  if (renameat(dir_.get(), kStreamName, dir_.get(), ObjectPath(digest).c_str()) != 0)
    return FailSys("rename", kStreamName);
  return digest;
}

Result<> ObjectStage::Publish(DiskOps& ops) {
  std::vector<std::string> groups = TRY(ListDirFd(dir_.get()));
  for (const std::string& group : groups) {
    if (group == kStreamName)
      continue;
    UniqueFd from = TRY(OpenAt(dir_.get(), group, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(MakeDirAt(objects_.dir(), group));
    UniqueFd to = TRY(OpenAt(objects_.dir(), group, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    std::vector<std::string> names = TRY(ListDirFd(from.get()));
    for (const std::string& name : names) {
      struct stat info;
      if (fstatat(from.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
        return FailSys("stat", name);
      Digest digest = TRY(Digest::ParseHex(group + name));
      if (!objects_.Has(digest, static_cast<uint64_t>(info.st_size)))
        TRY(ops.RemoveFile(to.get(), name));
      if (!TRY(ops.RenameNew(from.get(), name, to.get(), name)))
        TRY(ops.RemoveFile(from.get(), name));
    }
  }
  return {};
}

}  // namespace wherry::store
