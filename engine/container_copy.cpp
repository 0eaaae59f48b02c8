#include "engine/container_copy.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/user_db.h"
#include "core/sys/path.h"
#include "core/sys/user_namespace.h"
#include "engine/container_files.h"
#include "engine/container_record.h"
#include "engine/quota.h"
#include "engine/root_view.h"
#include "engine/user_namespace.h"
#include "engine/volume_view.h"
#include "store/change_archive.h"
#include "store/tree_entries.h"
#include "store/tree_extract.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxUserFile = 1 << 20;
constexpr int64_t kNanos = 1'000'000'000;

std::unexpected<Error> NoSuchFile(const CopyTarget& target, const std::string& path) {
  return Fail(Errc::kNotFound, Cat("Could not find the file ", path, " in container ", target.id));
}

Result<> CheckRunning(const CopyTarget& target) {
  if (target.init && !target.init.Signal(0))
    return Fail(Errc::kConflict, Cat("container ", target.id, " has ended meanwhile"));
  return {};
}

// Asked after the open: the number is still that process's.
Result<UniqueFd> RunningRoot(const CopyTarget& target) {
  UniqueFd root = TRY(Open(Cat("/proc/", target.init.pid(), "/root"), O_PATH | O_DIRECTORY));
  TRY(CheckRunning(target));
  return root;
}

Result<UniqueFd> OwnTree(const CopyTarget& target, MountInside inside = {}) {
  store::RootFs root = TRY_CTX("the container's image", target.images->Root(target.manifest));
  std::string upper = Cat(target.directory, "/upper");
  return PathExists(upper) ? OpenMerged(root, upper, target.directory, std::move(inside))
                           : OpenRoot(root, target.directory, std::move(inside));
}

Result<UniqueFd> RootToRead(const CopyTarget& target) {
  return target.init ? RunningRoot(target) : OwnTree(target, VolumesToRead(*target.config));
}

// Volumes are made and filled as the start does it: one with a file in it is not filled any more.
Result<UniqueFd> OpenWithVolumes(const CopyTarget& target, const store::RootFs& root,
                                 const UpperDirectory& upper) {
  ContainerConfig config = *target.config;
  TRY(CheckBindSources(config, MissingSource::kCreate));
  TRY(target.volumes->Ensure(config));
  std::unique_ptr<Volumes::Fill> fill = TRY(target.volumes->PrepareFill(config));
  UniqueFd opened = TRY(OpenRoot(root, upper, target.directory, VolumesToWrite(config)));
  for (const std::string& marker : fill ? fill->markers : std::vector<std::string>()) {
    if (unlink(marker.c_str()) != 0)
      return FailSys("unlink", marker);
  }
  return opened;
}

Result<UniqueFd> RootToWrite(const CopyTarget& target) {
  if (target.init)
    return RunningRoot(target);
  store::RootFs root = TRY_CTX("the container's image", target.images->Root(target.manifest));
  UpperDirectory upper{Cat(target.directory, "/upper"), Cat(target.directory, "/work"), false};
  if (!PathExists(upper.upper)) {
    TRY(ReplaceFile(Cat(target.directory, "/", kUnstartedMarker), "", 0600,
                    Durability::kPersistent));
  }
  TRY(MakeLayer(target.directory, root, target.config->host.storage_size));
  return OpenWithVolumes(target, root, upper);
}

// Of what is there of a running container. On disk files have the owners they have inside.
Result<std::optional<IdMaps>> IdsOf(const CopyTarget& target) {
  if (!target.init)
    return std::optional<IdMaps>();
  auto ids = TRY(IdMapsOf(target.init.pid()));
  TRY(CheckRunning(target));
  return ids;
}

// What is made in a file system of another user namespace has to belong to somebody there.
Result<std::optional<sys::ActingAs>> ActAsRootOf(const std::optional<IdMaps>& ids) {
  std::optional<uint32_t> uid = ids ? OutsideId(ids->users, 0) : std::nullopt;
  std::optional<uint32_t> gid = ids ? OutsideId(ids->groups, 0) : std::nullopt;
  if (!uid || !gid)
    return std::optional<sys::ActingAs>();
  sys::ActingAs acting = TRY(sys::ActingAs::Begin(*uid, *gid));
  return std::optional<sys::ActingAs>(std::move(acting));
}

// Regular files only: anything else could hang or act.
std::string ReadUserFile(int root, const char* path) {
  auto file = sys::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
  struct stat info{};
  if (!file || fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode))
    return {};
  return ReadAll(file->get(), kMaxUserFile, path).value_or("");
}

Result<std::string> LinkTarget(int parent, const std::string& node) {
  std::array<char, PATH_MAX> target;
  ssize_t size = readlinkat(parent, node.c_str(), target.data(), target.size());
  if (size < 0)
    return FailSys("readlinkat", node);
  return std::string(target.data(), static_cast<size_t>(size));
}

}  // namespace

CopyTarget CopyTargetOf(const Container& container, Images& images, Volumes& volumes) {
  CopyTarget target{&images,
                    &volumes,
                    container.id,
                    container.directory,
                    container.manifest,
                    container.config,
                    container.pin,
                    {}};
  if (HasProcess(container.state) && container.init) {
    target.init =
        sys::PidFd(container.init.pid(), UniqueFd(fcntl(container.init.fd(), F_DUPFD_CLOEXEC, 3)));
  }
  return target;
}

Result<CopySource> CopySource::Open(const CopyTarget& target, const std::string& path) {
  CopySource source;
  source.root_ = TRY(RootToRead(target));
  source.ids_ = TRY(IdsOf(target));
  std::string clean = sys::CleanPath(path);
  bool inside = path.ends_with("/.") || path == ".";
  bool follow = inside || path.ends_with('/') || clean == "/";
  PathParts parts = SplitPath(clean);
  auto parent =
      sys::OpenInRoot(source.root_.get(), follow ? clean : parts.dir, O_PATH | O_DIRECTORY);
  if (!parent)
    return NoSuchFile(target, path);
  source.parent_ = std::move(*parent);
  source.node_ = follow ? "." : parts.name;
  source.stat_.name = inside ? "." : clean == "/" ? "/" : parts.name;
  struct stat info{};
  if (fstatat(source.parent_.get(), source.node_.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return NoSuchFile(target, path);
  source.stat_.size = static_cast<uint64_t>(info.st_size);
  source.stat_.mode = info.st_mode;
  source.stat_.mtime_nanos = info.st_mtim.tv_sec * kNanos + info.st_mtim.tv_nsec;
  if (S_ISLNK(info.st_mode))
    source.stat_.link_target = TRY(LinkTarget(source.parent_.get(), source.node_));
  return source;
}

std::unique_ptr<ByteSource> CopySource::Archive() && {
  return std::make_unique<store::ChangeArchive>(std::make_unique<store::TreeEntries>(
      std::move(parent_), std::move(node_), std::move(stat_.name), std::move(ids_),
      std::move(root_)));
}

Result<> CopyInto(const CopyTarget& target, const std::string& path, ByteSource& archive,
                  const CopyOptions& options) {
  UniqueFd root = TRY(RootToWrite(target));
  auto found = sys::OpenInRoot(root.get(), path, O_PATH);
  if (!found)
    return NoSuchFile(target, path);
  struct stat info{};
  if (fstat(found->get(), &info) != 0 || !S_ISDIR(info.st_mode))
    return Fail(Errc::kInvalid, "extraction point is not a directory");
  store::ExtractOptions extract;
  extract.keep_kinds = options.keep_kinds;
  extract.ids = TRY(IdsOf(target));
  auto acting = TRY(ActAsRootOf(extract.ids));
  extract.go_on = [&target] { return CheckRunning(target); };
  if (options.users_files) {
    auto user = TRY(ResolveUser(target.config->user, ReadUserFile(root.get(), "/etc/passwd"),
                                ReadUserFile(root.get(), "/etc/group")));
    extract.owner = store::ExtractOptions::Owner::kGiven;
    extract.uid = user.uid;
    extract.gid = user.gid;
  }
  auto done = store::ExtractTree(archive, root.get(), sys::CleanPath(path), std::move(extract));
  if (!done && done.error().error_number() == EROFS)
    return Fail(Errc::kDenied, Cat(path, " is in a root file system or volume marked read-only"));
  return done;
}

Result<std::unique_ptr<ByteSource>> ExportContainer(const CopyTarget& target) {
  UniqueFd root = TRY(OwnTree(target));
  return std::make_unique<store::ChangeArchive>(
      std::make_unique<store::TreeEntries>(std::move(root), ".", ""));
}

}  // namespace wherry::engine
