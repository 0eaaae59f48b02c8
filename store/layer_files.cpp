#include "store/layer_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/base/text.h"

namespace wherry::store {

Result<> LayerFile::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    return Fail(Errc::kInternal, "read beyond the end of a file");
  if (!fd_) {
    std::memcpy(out.data(), content_.data() + offset, out.size());
    return {};
  }
  while (!out.empty()) {
    ssize_t count = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return FailSys("read", "an object");
    if (count == 0)
      return Fail(Errc::kCorrupt, "an object of the layer is shorter than it was");
    offset += static_cast<uint64_t>(count);
    out = out.subspan(static_cast<size_t>(count));
  }
  return {};
}

Result<LayerFile> StoredLayerFiles::Open(std::string_view path) {
  LayerPath parsed = TRY(ParseLayerPath(path, TarType::kRegular));
  auto found = parsed.mark == LayerMark::kNone ? tree_.LookUp(parsed) : std::nullopt;
  if (!found)
    return Fail(Errc::kNotFound, "the layer has no such file");
  const LayerTree::Inode& inode = tree_.At(*found);
  if (inode.type != TarType::kRegular)
    return Fail(Errc::kNotFound, "it is no regular file");
  if (inode.content != LayerTree::Content::kObject)
    return LayerFile(std::string(tree_.Text(inode)));
  UniqueFd fd = TRY(objects_.OpenObject(tree_.Object(inode)));
  struct stat info;
  if (fstat(fd.get(), &info) != 0)
    return FailSys("stat", "an object");
  if (static_cast<uint64_t>(info.st_size) != inode.size)
    return Fail(Errc::kCorrupt, "an object of the layer has another size than it had");
  return LayerFile(std::move(fd), inode.size);
}

}  // namespace wherry::store
