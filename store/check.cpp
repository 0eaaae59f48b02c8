// Finding damage: everything the images need, against what the indexes and checksums say.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/decompress.h"
#include "store/erofs_writer.h"
#include "store/file_hash.h"
#include "store/refs.h"
#include "store/store_impl.h"
#include "store/tree_check.h"

namespace wherry::store {

namespace {

// Objects whose digests are in memory together: 5 MiB.
constexpr size_t kAtOnce = 1 << 17;
// Damaged objects that are told together.
constexpr size_t kBadAtOnce = 4096;
// Of one directory; a repair looks for all of them itself.
constexpr size_t kMaxTreeFaults = 1;

class FileSource final : public ByteSource {
 public:
  explicit FileSource(int fd) : fd_(fd) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    ssize_t count = read(fd_, out.data(), out.size());
    return count < 0 ? Result<size_t>(FailSys("read")) : static_cast<size_t>(count);
  }

 private:
  int fd_;
};

Result<> DrainArchive(int fd, const Limits& limits) {
  FileSource file(fd);
  auto plain = TRY(Decompress(file, Compression::kGzip, limits));
  std::vector<std::byte> buffer(32768);
  for (;;) {
    size_t count = TRY(plain->Read(buffer));
    if (count == 0)
      return {};
  }
}

// Whether a file is what WriteErofs makes of a tree, byte by byte, without writing it anywhere.
Result<bool> SameImage(const LayerTree& merged, int file) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return FailSys("pipe");
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  Result<> written;
  std::thread writer([&] {
    auto stats = WriteErofs(merged, out.get());
    if (!stats)
      written = std::unexpected(std::move(stats).error());
    out.Reset();
  });
  bool same = true;
  std::array<char, 16384> made;
  std::array<char, 16384> there;
  off_t at = 0;
  ssize_t count = 0;
  while ((count = read(in.get(), made.data(), made.size())) > 0 || (count < 0 && errno == EINTR)) {
    if (!same || count < 0)
      continue;  // to the end: the writer must not block
    auto size = static_cast<size_t>(count);
    same = pread(file, there.data(), size, at) == count &&
           memcmp(made.data(), there.data(), size) == 0;
    at += count;
  }
  writer.join();
  TRY(std::move(written));
  struct stat info;
  return same && fstat(file, &info) == 0 && info.st_size == at;
}

}  // namespace

class Checker {
 public:
  Checker(StoreImpl& store, CheckDepth depth, CheckSink& sink)
      : store_(store), content_(depth == CheckDepth::kContent), sink_(sink) {
    std::lock_guard lock(store_.mutex_);
    for (const auto& [digest, image] : store_.images_) {
      images_.push_back(digest);
      chains_[image.chain_id] = image.layers;
      for (const LayerInfo& layer : image.layers)
        users_[layer.diff_id].insert(digest);
    }
  }

  Result<CheckCount> Run() {
    TRY(Refs());
    for (const Digest& image : images_)
      TRY(Record(image));
    for (const auto& [diff_id, images] : users_)
      TRY(Layer(diff_id));
    TRY(AllObjects());
    for (const auto& [chain_id, layers] : chains_)
      TRY(Metadata(chain_id, layers));
    for (const auto& [diff_id, images] : users_)
      TRY(Tree(diff_id));
    return count_;
  }

 private:
  // Nothing that has been removed meanwhile is damage.
  Result<> Tell(Damage damage) {
    {
      std::lock_guard lock(store_.mutex_);
      std::erase_if(damage.images,
                    [&](const Digest& image) { return !store_.images_.contains(image); });
    }
    if (damage.images.empty() && damage.kind != DamageKind::kRefs)
      return {};
    ++count_.damaged;
    return sink_.OnDamage(damage) ? Result<>() : Fail(Errc::kCancelled, "the check was cancelled");
  }

  Result<> Tell(DamageKind kind, const Digest& digest, std::string path, std::string what,
                const std::set<Digest>& images) {
    return Tell({kind, digest, std::move(path), std::move(what), {images.begin(), images.end()}});
  }

  Result<> Count(uint64_t files, uint64_t bytes) {
    count_.files += files;
    count_.bytes += bytes;
    return sink_.OnProgress(count_) ? Result<>()
                                    : Fail(Errc::kCancelled, "the check was cancelled");
  }

  Result<> Refs() {
    std::lock_guard write_lock(store_.write_mutex_);
    auto content = ReadFileAt(store_.dir_.get(), kRefsName, kMaxRefsBytes);
    bool absent = !content && content.error().code() == Errc::kNotFound;
    auto refs = content ? DecodeRefs(*content) : std::unexpected(std::move(content).error());
    TRY(Count(1, 0));
    std::lock_guard lock(store_.mutex_);
    bool sound = refs ? *refs == store_.refs_ : absent && store_.refs_.empty();
    if (sound)
      return {};
    ++count_.damaged;
    Damage damage{DamageKind::kRefs,
                  {},
                  kRefsName,
                  refs ? "is not what was written" : refs.error().message(),
                  {}};
    return sink_.OnDamage(damage) ? Result<>() : Fail(Errc::kCancelled, "the check was cancelled");
  }

  Result<> Record(const Digest& digest) {
    int dir = store_.DirOfRecord(digest);
    auto content = ReadFileAt(dir, digest.hex(), kMaxRecordBytes);
    TRY(Count(1, content ? content->size() : 0));
    auto record =
        content ? DecodeRecord(*content, digest) : std::unexpected(std::move(content).error());
    if (record)
      return {};
    return Tell(DamageKind::kRecord, digest,
                Cat(store_.PlaceOf(dir), kImageName, "/", digest.hex()), record.error().message(),
                {digest});
  }

  // Index and archive.
  Result<> Layer(const Digest& diff_id) {
    const std::set<Digest>& images = users_[diff_id];
    std::string name = Cat(diff_id.hex(), kIndexSuffix);
    int dir = store_.DirOf(name);
    std::string path = Cat(store_.PlaceOf(dir), kLayerName, "/", name);
    auto index = store_.ReadIndex(diff_id);
    struct stat info{};
    (void)fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW);
    TRY(Count(1, static_cast<uint64_t>(info.st_size)));
    size_t objects = index ? index->object_count() : 0;
    auto tree = index ? index->Tree() : std::unexpected(std::move(index).error());
    if (!tree)
      TRY(Tell(DamageKind::kIndex, diff_id, std::move(path), tree.error().message(), images));
    else
      sound_.push_back(diff_id);
    objects_ += tree ? objects : 0;
    return Archive(diff_id, images);
  }

  Result<> Archive(const Digest& diff_id, const std::set<Digest>& images) {
    std::string name = Cat(diff_id.hex(), kSplitSuffix);
    int dir = store_.DirOf(name);
    auto fd = OpenAt(dir, name, O_RDONLY | O_NOFOLLOW);
    struct stat info{};
    Result<> sound = fd && fstat(fd->get(), &info) == 0 && info.st_size > 0
                         ? Result<>()
                         : Fail(Errc::kCorrupt, fd ? "is empty" : fd.error().message());
    if (sound && content_) {
      (void)posix_fadvise(fd->get(), 0, 0, POSIX_FADV_DONTNEED);
      sound = DrainArchive(fd->get(), store_.limits_);
    }
    TRY(Count(1, content_ ? static_cast<uint64_t>(info.st_size) : 0));
    if (sound)
      return {};
    return Tell(DamageKind::kArchive, diff_id, Cat(store_.PlaceOf(dir), kLayerName, "/", name),
                sound.error().message(), images);
  }

  // Their indexes have been verified.
  void ForEachObject(const std::function<void(const Digest&, const ObjectSize&)>& use) {
    for (const Digest& diff_id : sound_) {
      // It may have been removed meanwhile.
      (void)store_.ScanIndex(diff_id, LayerIndex::Trust::kVerified,
                             [&](const ObjectSize& object) { use(diff_id, object); });
    }
  }

  Result<> AllObjects() {
    auto ranges = DigestRanges(objects_, kAtOnce);
    std::vector<ObjectSize> needed;
    needed.reserve(RangeCapacity(objects_, ranges.size()));
    for (const DigestRange& range : ranges) {
      needed.clear();
      ForEachObject([&](const Digest&, const ObjectSize& object) {
        if (range.Has(object.digest))
          needed.push_back(object);
      });
      auto less = [](const ObjectSize& a, const ObjectSize& b) { return a.digest < b.digest; };
      auto equal = [](const ObjectSize& a, const ObjectSize& b) { return a.digest == b.digest; };
      std::sort(needed.begin(), needed.end(), less);
      needed.erase(std::unique(needed.begin(), needed.end(), equal), needed.end());
      TRY(Objects(needed));
    }
    return {};
  }

  Result<> Objects(const std::vector<ObjectSize>& needed) {
    std::map<Digest, std::string> bad;
    for (const ObjectSize& object : needed) {
      std::string what = TRY(Object(object));
      if (!what.empty())
        bad.emplace(object.digest, std::move(what));
      if (bad.size() == kBadAtOnce)
        TRY(TellObjects(std::exchange(bad, {})));
    }
    return TellObjects(std::move(bad));
  }

  Result<> TellObjects(std::map<Digest, std::string> bad) {
    if (bad.empty())
      return {};
    std::map<Digest, std::set<Digest>> images;
    ForEachObject([&](const Digest& diff_id, const ObjectSize& object) {
      if (bad.contains(object.digest))
        images[object.digest].insert(users_[diff_id].begin(), users_[diff_id].end());
    });
    for (auto& [digest, what] : bad) {
      std::string_view place = store_.PlaceOf(store_.objects_->Find(digest).dir);
      TRY(Tell(DamageKind::kObject, digest, Cat(place, kObjectsName, "/", ObjectPath(digest)),
               std::move(what), images[digest]));
    }
    return {};
  }

  // What is wrong with it; empty: nothing.
  Result<std::string> Object(const ObjectSize& object) {
    auto [dir, info, error] = store_.objects_->Find(object.digest);
    if (dir < 0) {
      TRY(Count(1, 0));
      if (content_ && store_.objects_->IsDistrusted(object.digest) &&
          store_.objects_->TrustAgain(object.digest).value_or(false))
        return std::string();
      return error == ENOENT ? std::string("is missing") : ErrnoText(error);
    }
    if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) != object.size) {
      TRY(Count(1, 0));
      return Cat("has ", info.st_size, " bytes instead of ", object.size);
    }
    if (!content_) {
      TRY(Count(1, 0));
      return std::string();
    }
    auto fd = store_.objects_->OpenObject(object.digest);
    if (!fd)
      return fd.error().message();
    auto hashed = HashFile(fd->get(), [&](uint64_t bytes) { return Count(0, bytes).has_value(); });
    if (!hashed && hashed.error().code() == Errc::kCancelled)
      return std::unexpected(std::move(hashed).error());
    TRY(Count(1, 0));
    if (!hashed)
      return hashed.error().message();
    return std::string(*hashed == object.digest ? "" : "has other content");
  }

  std::set<Digest> ImagesOf(const std::vector<LayerInfo>& layers) {
    std::set<Digest> images;
    for (const Digest& image : images_) {
      std::lock_guard lock(store_.mutex_);
      auto state = store_.images_.find(image);
      if (state != store_.images_.end() && state->second.chain_id == ChainId(layers))
        images.insert(image);
    }
    return images;
  }

  Result<> Metadata(const Digest& chain_id, const std::vector<LayerInfo>& layers) {
    std::string name = Cat(chain_id.hex(), kImageSuffix);
    int dir = store_.DirOf(name);
    auto fd = OpenAt(dir, name, O_RDONLY | O_NOFOLLOW);
    if (!fd)
      return {};
    struct stat info{};
    (void)fstat(fd->get(), &info);
    std::string what = ReadErofsRoot(fd->get()) ? "" : "is no metadata image";
    if (what.empty() && content_) {
      (void)posix_fadvise(fd->get(), 0, 0, POSIX_FADV_DONTNEED);
      auto merged = store_.MergedTree(layers);
      if (!merged)
        return {};  // an index is damaged, which has been told
      bool same = TRY(SameImage(*merged, fd->get()));
      what = same ? "" : "has other content";
    }
    TRY(Count(1, content_ ? static_cast<uint64_t>(info.st_size) : 0));
    if (what.empty())
      return {};
    return Tell(DamageKind::kMetadata, chain_id, Cat(store_.PlaceOf(dir), kLayerName, "/", name),
                what, ImagesOf(layers));
  }

  Result<> Tree(const Digest& diff_id) {
    bool factory = false;
    auto root = store_.OpenTree(diff_id, &factory);
    if (!root || !content_)
      return {};
    auto index = store_.ReadIndex(diff_id);
    auto tree = index ? index->Tree() : std::unexpected(std::move(index).error());
    if (!tree)
      return {};  // has been told
    auto faults =
        CheckTree(*tree, *store_.objects_, root->get(), TreeCheck::kContent, kMaxTreeFaults);
    TRY(Count(1, 0));
    if (faults.empty())
      return {};
    std::string path = Cat(factory ? store_.factory_->prefix : "", kTreeName, "/", diff_id.hex(),
                           "/", faults[0].path);
    return Tell(DamageKind::kTree, diff_id, std::move(path), faults[0].what, users_[diff_id]);
  }

  StoreImpl& store_;
  const bool content_;
  CheckSink& sink_;
  CheckCount count_;
  std::vector<Digest> images_;
  std::map<Digest, std::vector<LayerInfo>> chains_;
  std::map<Digest, std::set<Digest>> users_;  // of layers: manifest digests
  std::vector<Digest> sound_;                 // layers whose index can be read
  uint64_t objects_ = 0;                      // that those name
};

Result<CheckCount> StoreImpl::Check(CheckDepth depth, CheckSink& sink) {
  size_t known = FactoryDamage();
  auto count = Checker(*this, depth, sink).Run();
  if (FactoryDamage() < known) {
    TRY(SaveFactoryDamage());
    TRY(Heal());
  }
  return count;
}

}  // namespace wherry::store
