#include "engine/builder/copy_sources.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/user_db.h"
#include "core/sys/path.h"
#include "engine/build/ignore.h"
#include "engine/build/path.h"
#include "engine/builder/unpack.h"
#include "store/decompress.h"
#include "store/layer_path.h"
#include "store/tar_header.h"

namespace wherry::engine {

namespace {

constexpr uint32_t kDirMode = 0755;
constexpr uint32_t kFileMode = 0644;
constexpr size_t kMaxDatabase = size_t{1} << 20;
constexpr size_t kMaxMatches = 100'000;

class FileSource final : public ByteSource {
 public:
  explicit FileSource(int fd) : fd_(fd) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    ssize_t count = pread(fd_, out.data(), out.size(), at_);
    if (count < 0)
      return FailSys("pread");
    at_ += count;
    return static_cast<size_t>(count);
  }

 private:
  int fd_;
  off_t at_ = 0;
};

bool HasWildcard(std::string_view path) {
  return path.find_first_of("*?[\\") != std::string_view::npos;
}

// The paths that match, component by component, in order.
Result<std::vector<std::string>> Match(int root, const std::string& pattern) {
  std::vector<std::string> found = {""};
  for (std::string_view component : Split(std::string_view(pattern).substr(1), '/')) {
    std::vector<std::string> next;
    if (!HasWildcard(component)) {
      for (const std::string& path : found)
        next.push_back(Cat(path, "/", component));
      found = std::move(next);
      continue;
    }
    auto matcher = TRY(build::PathPattern::Parse(component));
    for (const std::string& path : found) {
      auto directory = sys::OpenInRoot(root, path.empty() ? "/" : path, O_RDONLY | O_DIRECTORY);
      if (!directory)
        continue;
      auto names = TRY(ListDirFd(directory->get()));
      std::sort(names.begin(), names.end());
      for (const std::string& name : names) {
        if (matcher.Matches(name))
          next.push_back(Cat(path, "/", name));
      }
      if (next.size() > kMaxMatches)
        return Fail(Errc::kInvalid, Cat("more than ", kMaxMatches, " files match"));
    }
    found = std::move(next);
  }
  return found;
}

Result<std::string> ReadDatabase(int root, const char* path) {
  auto file = sys::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
  if (!file)
    return std::string();
  struct stat info{};
  if (fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode))
    return std::string();
  return ReadAll(file->get(), kMaxDatabase, path);
}

// A directory with those above it; what is new gets the owner.
Result<UniqueFd> MakeDirectory(const CopyTarget& target, const std::string& path) {
  UniqueFd directory;
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    std::string prefix = path.substr(0, end);
    bool there = sys::OpenInRoot(target.root, prefix, O_PATH | O_DIRECTORY).has_value();
    directory =
        TRY(sys::OpenOrCreateInRoot(target.root, prefix, sys::CreateAs::kDirectory, kDirMode));
    if (there || !target.metadata.owner)
      continue;
    auto [uid, gid] = *target.metadata.owner;
    if (fchownat(directory.get(), "", uid, gid, AT_EMPTY_PATH) != 0)
      return FailSys("fchownat", prefix);
  }
  return directory;
}

struct Magic {
  std::string_view bytes;
  std::string_view name;
};
// Docker takes these apart, too.
constexpr Magic kForeign[] = {{"BZh", "bzip2"},
                              {std::string_view("\xFD"
                                                "7zXZ\0",
                                                6),
                               "xz"}};

}  // namespace

Result<CopySources> CopySources::Find(int root, const build::Sources& sources,
                                      const CopyOptions& options) {
  CopySources found(options);
  found.root_ = TRY(OpenAt(root, ".", O_RDONLY | O_DIRECTORY));
  for (const std::string& written : sources.paths) {
    std::string clean = build::CleanPath(written);
    if (clean == ".." || clean.starts_with("../")) {
      return Fail(
          Errc::kInvalid,
          Cat(options.instruction, " failed: forbidden path outside the build context: ", written));
    }
    std::string path = build::CleanPath(Cat("/", written));
    std::vector<std::string> matches = {path};
    if (HasWildcard(path))
      matches = TRY(Match(root, path));
    if (matches.empty())
      return Fail(Errc::kInvalid,
                  Cat(options.instruction, " failed: no source files were specified: ", written));
    for (const std::string& match : matches)
      TRY(found.Add(match, written));
  }
  found.files_ = sources.files;
  return found;
}

Result<> CopySources::Add(const std::string& path, const std::string& written) {
  auto entry = sys::OpenInRoot(root_.get(), path, O_PATH);
  if (!entry && entry.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(entry).error().Wrap(Cat(options_.instruction, " failed")));
  if (!entry) {
    return Fail(Errc::kInvalid, Cat(options_.instruction,
                                    " failed: file not found in build context or excluded by "
                                    ".dockerignore: stat ",
                                    written, ": file does not exist"));
  }
  struct stat info{};
  if (fstat(entry->get(), &info) != 0)
    return FailSys("fstat", written);
  bool directory = S_ISDIR(info.st_mode);
  if (!directory && !S_ISREG(info.st_mode)) {
    return Fail(Errc::kInvalid, Cat(options_.instruction, " failed: ", written,
                                    " is neither a file nor a directory"));
  }
  items_.push_back({path, directory, path.substr(path.rfind('/') + 1)});
  return {};
}

// One at a time: a wildcard may mean more files than may be open.
Result<UniqueFd> CopySources::Open(const Item& item) const {
  return sys::OpenInRoot(root_.get(), item.path, O_RDONLY | O_NONBLOCK);
}

Result<std::string> CopySources::Text() const {
  Hasher hasher;
  for (const Item& item : items_) {
    TreeHash tree(options_.owners, hasher);
    hasher.Update(Cat(item.directory ? "dir " : "file ", item.name, "\n"));
    UniqueFd fd = TRY(Open(item));
    TRY_CTX(item.name, item.directory ? tree.Directory(fd.get()) : tree.File(fd.get()));
  }
  for (const build::Heredoc& file : files_)
    hasher.Update(Cat("text ", file.name, " ", file.content.size(), "\n", file.content));
  size_t count = items_.size() + files_.size();
  bool directory = count == 1 && files_.empty() && items_[0].directory;
  return Cat(count > 1 ? "multi:" : directory ? "dir:" : "file:", hasher.Finish().hex());
}

Result<> CopySources::CopyTo(const CopyTarget& target) const {
  bool several = items_.size() + files_.size() > 1;
  if (several && !target.directory) {
    return Fail(Errc::kInvalid,
                Cat("When using ", options_.instruction,
                    " with more than one source file, the destination must be a directory and end "
                    "with a /"));
  }
  bool into = target.directory ||
              sys::OpenInRoot(target.root, target.path, O_PATH | O_DIRECTORY).has_value();
  for (const Item& item : items_)
    TRY_CTX(item.name, CopyItem(item, target, into));
  for (const build::Heredoc& file : files_) {
    std::string path = into ? Cat(target.path, "/", file.name) : target.path;
    PathParts parts = SplitPath(path);
    UniqueFd directory = TRY(MakeDirectory(target, parts.dir));
    TRY(RemoveTreeAt(directory.get(), parts.name));
    UniqueFd made = TRY(
        OpenAt(directory.get(), parts.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kFileMode));
    TRY(WriteAll(made.get(), file.content, file.name));
    auto [uid, gid] = target.metadata.owner.value_or(std::pair{0U, 0U});
    if (fchown(made.get(), uid, gid) != 0 ||
        fchmod(made.get(), target.metadata.mode.value_or(kFileMode)) != 0)
      return FailSys("fchown", file.name);
  }
  return {};
}

Result<> CopySources::CopyItem(const Item& item, const CopyTarget& target,
                               bool into_directory) const {
  UniqueFd from = TRY(Open(item));
  if (item.directory) {
    UniqueFd to = TRY(MakeDirectory(target, target.path));
    return TreeCopy(to.get(), target.metadata).Children(from.get(), to.get(), "");
  }
  if (options_.unpack && TRY(TryUnpack(from.get(), target)))
    return {};
  std::string path = into_directory ? Cat(target.path, "/", item.name) : target.path;
  PathParts parts = SplitPath(path);
  UniqueFd to = TRY(MakeDirectory(target, parts.dir));
  return TreeCopy(to.get(), target.metadata).File(from.get(), to.get(), parts.name);
}

// False: it is no archive.
Result<bool> CopySources::TryUnpack(int file_fd, const CopyTarget& target) const {
  FileSource probe(file_fd);
  std::string begin(store::kTarBlock, '\0');
  size_t count = TRY(probe.Read(std::as_writable_bytes(std::span(begin))));
  std::string_view front = std::string_view(begin).substr(0, count);
  for (const Magic& magic : kForeign) {
    if (front.starts_with(magic.bytes)) {
      return Fail(Errc::kUnsupported,
                  Cat("ADD does not take apart what is compressed with ", magic.name,
                      "; use gzip or zstd, or COPY to have the file as it is"));
    }
  }
  FileSource file(file_fd);
  auto opened = store::Decompress(file, store::Compression::kNone, target.limits);
  if (!opened)
    return false;
  size_t filled = 0;
  while (filled < begin.size()) {
    auto more = (*opened)->Read(std::as_writable_bytes(std::span(begin).subspan(filled)));
    if (!more || *more == 0)
      return false;
    filled += *more;
  }
  if (store::IsZeroBlock(begin) || !store::DecodeTarHeader(begin))
    return false;
  FileSource again(file_fd);
  auto tar = TRY(store::Decompress(again, store::Compression::kNone, target.limits));
  TRY(MakeDirectory(target, target.path));
  TRY(Unpack(*tar, target.root, target.path,
             {Devices::kMake, target.metadata.of_archives, target.limits.reserve_bytes}));
  return true;
}

Result<std::pair<uint32_t, uint32_t>> ResolveOwner(const std::string& text, int root) {
  bool group = text.find(':') != std::string::npos;
  std::string passwd = TRY(ReadDatabase(root, "/etc/passwd"));
  std::string groups = TRY(ReadDatabase(root, "/etc/group"));
  auto user = TRY(ResolveUser(group ? text : Cat(text, ":", text), passwd, groups));
  return std::pair{user.uid, user.gid};
}

}  // namespace wherry::engine
