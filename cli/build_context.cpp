#include "cli/build_context.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/tar_writer.h"

namespace wherry::cli {

namespace {

constexpr size_t kMaxDepth = 256;
constexpr uint32_t kFileMode = 0644;

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

BuildContext::BuildContext(UniqueFd directory, build::IgnoreList ignored,
                           std::vector<std::string> kept, std::vector<ExtraFile> extras)
    : top_(std::move(directory)),
      ignored_(std::move(ignored)),
      kept_(std::move(kept)),
      extras_(std::move(extras)) {}

Result<size_t> BuildContext::Read(std::span<std::byte> out) {
  while (given_ == text_.size()) {
    text_.clear();
    given_ = 0;
    if (file_)
      return ReadFile(out);
    if (ended_)
      return 0;
    TRY(Advance());
  }
  size_t count = std::min(out.size(), text_.size() - given_);
  memcpy(out.data(), text_.data() + given_, count);
  given_ += count;
  return count;
}

Result<> BuildContext::Advance() {
  if (top_)
    return Enter(std::move(top_), "");
  if (levels_.empty()) {
    ended_ = true;
    for (const ExtraFile& extra : extras_) {
      store::TarEntry entry;
      entry.name = extra.name;
      entry.mode = kFileMode;
      entry.size = extra.content.size();
      Append(text_, store::TarEntryHeader(entry), extra.content, store::TarPadding(entry.size));
    }
    text_ += store::TarEnd();
    return {};
  }
  Level& level = levels_.back();
  if (level.next == level.names.size()) {
    levels_.pop_back();
    return {};
  }
  std::string name = level.names[level.next++];
  std::string path = Cat(level.path, name);
  return Begin(level.directory.get(), name, path);
}

Result<> BuildContext::Enter(UniqueFd directory, std::string path) {
  if (levels_.size() == kMaxDepth)
    return Fail(Errc::kInvalid, Cat(path, ": directories are nested too deep"));
  Level level{std::move(directory), std::move(path), {}};
  level.names = TRY_CTX(level.path, ListDirFd(level.directory.get()));
  std::sort(level.names.begin(), level.names.end());
  levels_.push_back(std::move(level));
  return {};
}

bool BuildContext::IsLeftOut(const std::string& path, bool directory) const {
  if (std::any_of(extras_.begin(), extras_.end(),
                  [&](const ExtraFile& extra) { return extra.name == path; }))
    return true;
  if (directory) {
    // On the way to what is kept.
    bool above = std::any_of(kept_.begin(), kept_.end(), [&](const std::string& kept) {
      return kept.starts_with(Cat(path, "/"));
    });
    return ignored_.IgnoresTree(path) && !above;
  }
  return ignored_.Ignores(path) && !Contains(kept_, path);
}

Result<> BuildContext::Begin(int directory, const std::string& name, const std::string& path) {
  struct stat info{};
  if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return FailSys("fstatat", path);
  if (IsLeftOut(path, S_ISDIR(info.st_mode)))
    return {};
  store::TarEntry entry;
  entry.name = path;
  entry.mode = info.st_mode & 07777;
  entry.mtime.seconds = info.st_mtim.tv_sec;
  if (S_ISDIR(info.st_mode)) {
    UniqueFd child = TRY_CTX(path, OpenAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    entry.type = store::TarType::kDirectory;
    entry.name += '/';
    if (!ignored_.Ignores(path))
      text_ = store::TarEntryHeader(entry);
    return Enter(std::move(child), entry.name);
  }
  if (S_ISLNK(info.st_mode)) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(directory, name.c_str(), target, sizeof target);
    if (size < 0)
      return FailSys("readlinkat", path);
    entry.type = store::TarType::kSymlink;
    entry.link_name.assign(target, static_cast<size_t>(size));
    text_ = store::TarEntryHeader(entry);
    return {};
  }
  if (!S_ISREG(info.st_mode)) {
    return Fail(Errc::kInvalid,
                Cat(path, " is neither a file, a directory nor a link; name it in .dockerignore"));
  }
  file_ = TRY_CTX(path, OpenAt(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  file_path_ = path;
  entry.size = file_size_ = file_left_ = static_cast<uint64_t>(info.st_size);
  text_ = store::TarEntryHeader(entry);
  if (file_left_ == 0)
    file_.Reset();
  return {};
}

Result<size_t> BuildContext::ReadFile(std::span<std::byte> out) {
  size_t wanted = static_cast<size_t>(std::min<uint64_t>(out.size(), file_left_));
  ssize_t count;
  do {
    count = read(file_.get(), out.data(), wanted);
  } while (count < 0 && errno == EINTR);
  if (count < 0)
    return FailSys("read", file_path_);
  if (count == 0)
    return Fail(Errc::kInvalid, Cat(file_path_, " has become shorter while it was read"));
  file_left_ -= static_cast<uint64_t>(count);
  if (file_left_ == 0) {
    file_.Reset();
    text_ = store::TarPadding(file_size_);
  }
  return static_cast<size_t>(count);
}

}  // namespace wherry::cli
