// What a tier needs, made from indexes and objects: metadata images and directories. And the way
// back, from a layer to its archive.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/archive_split.h"
#include "store/checkout.h"
#include "store/decompress.h"
#include "store/erofs_writer.h"
#include "store/hashing_source.h"
#include "store/layer_files.h"
#include "store/layer_xattr.h"
#include "store/store_impl.h"
#include "store/tar_delta.h"

namespace wherry::store {

namespace {

constexpr uint32_t kPrivateFile = 0600;
constexpr const char* kImagePart = "image";

class FileSource final : public ByteSource {
 public:
  explicit FileSource(int fd) : fd_(fd) {}
  Result<size_t> Read(std::span<std::byte> out) override {
    ssize_t count = read(fd_, out.data(), out.size());
    return count < 0 ? Result<size_t>(FailSys("read", "a layer's headers"))
                     : static_cast<size_t>(count);
  }

 private:
  int fd_;
};

// The archive of a layer, verified at its end.
class LayerArchive final : public ByteSource {
 public:
  LayerArchive(UniqueFd split, const Digest& diff_id, ArchiveSource::OpenObject open_object,
               const Limits& limits)
      : fd_(std::move(split)),
        file_(fd_.get()),
        open_object_(std::move(open_object)),
        limits_(limits),
        diff_id_(diff_id) {}

  Result<> Open() {
    auto headers = TRY(Decompress(file_, Compression::kGzip, limits_));
    archive_ = std::make_unique<ArchiveSource>(std::move(headers), std::move(open_object_));
    verified_ = std::make_unique<HashingSource>(
        *archive_, HashingSource::Expected{"the layer", diff_id_, std::nullopt});
    return {};
  }

  Result<size_t> Read(std::span<std::byte> out) override { return verified_->Read(out); }

 private:
  UniqueFd fd_;
  FileSource file_;
  ArchiveSource::OpenObject open_object_;
  Limits limits_;
  Digest diff_id_;
  std::unique_ptr<ArchiveSource> archive_;
  std::unique_ptr<HashingSource> verified_;
};

}  // namespace

Digest ChainId(const std::vector<LayerInfo>& layers) {
  Digest chain;
  for (const LayerInfo& layer : layers) {
    chain =
        chain.none() ? layer.diff_id : Digest::Of(Cat(chain.string(), " ", layer.diff_id.string()));
  }
  return chain;
}

Result<LayerIndex> StoreImpl::ReadIndex(const Digest& diff_id) const {
  std::string name = Cat(diff_id.hex(), kIndexSuffix);
  std::string content =
      TRY_CTX(Cat("layer ", diff_id.string()), ReadFileAt(DirOf(name), name, kMaxIndexBytes));
  return LayerIndex::Decode(std::move(content), diff_id);
}

Result<> StoreImpl::ScanIndex(const Digest& diff_id, LayerIndex::Trust trust,
                              const LayerIndex::UseObject& use) const {
  auto scan = [&]() -> Result<> {
    std::string name = Cat(diff_id.hex(), kIndexSuffix);
    UniqueFd file = TRY(OpenAt(DirOf(name), name, O_RDONLY | O_NOFOLLOW));
    return LayerIndex::Scan(file.get(), diff_id, trust, use);
  };
  TRY_CTX(Cat("layer ", diff_id.string()), scan());
  return {};
}

Result<SmallContents> StoreImpl::FindSmall(const WantedContents& wanted) const {
  std::vector<Digest> layers;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [diff_id, state] : layers_)
      layers.push_back(diff_id);
  }
  SmallContents found;
  for (const Digest& diff_id : layers) {
    auto index = ReadIndex(diff_id);
    if (!index)
      continue;  // it may have been removed meanwhile; without it more is fetched
    LayerTree tree = TRY(index->Tree());
    for (LayerTree::InodeId id = 0; id < tree.inode_count(); ++id) {
      const LayerTree::Inode& inode = tree.At(id);
      if (inode.type != TarType::kRegular || inode.content != LayerTree::Content::kInline)
        continue;
      std::string_view text = tree.Text(inode);
      Digest digest = Digest::Of(text);
      if (wanted.contains(digest))
        found.try_emplace(digest, text);
    }
  }
  return found;
}

bool StoreImpl::HasImage(const Digest& chain_id) const {
  std::string name = Cat(chain_id.hex(), kImageSuffix);
  if (faccessat(layer_.get(), name.c_str(), F_OK, 0) == 0)
    return true;
  std::lock_guard lock(mutex_);
  return factory_ && !bad_chains_.contains(chain_id) &&
         faccessat(factory_->layer.get(), name.c_str(), F_OK, 0) == 0;
}

// As overlayfs would show the layers together.
Result<LayerTree> StoreImpl::MergedTree(const std::vector<LayerInfo>& layers) const {
  std::optional<LayerTree> merged(std::in_place);
  for (const LayerInfo& layer : layers) {
    LayerIndex index = TRY(ReadIndex(layer.diff_id));
    LayerTree tree = TRY(index.Tree());
    // Nothing below it shows, but overlayfs does not honour an opaque root.
    if (tree.At(tree.InodeOf(LayerTree::kRoot)).opaque)
      merged.emplace();
    merged->Overlay(tree);
  }
  merged->HideObjects();
  merged->Seal();
  return std::move(*merged);
}

Result<uint64_t> StoreImpl::MakeImage(const std::vector<LayerInfo>& layers, const Digest& chain_id,
                                      int dir) {
  LayerTree merged = TRY(MergedTree(layers));
  UniqueFd fd = TRY(ops_.Create(dir, kImagePart, kPrivateFile));
  ErofsStats stats = TRY(WriteErofs(merged, fd.get()));
  fd.Reset();
  if (verity_)
    TRY(ops_.Seal(dir, kImagePart));
  TRY(ops_.Rename(dir, kImagePart, layer_.get(), Cat(chain_id.hex(), kImageSuffix)));
  return stats.size_bytes;
}

Result<UniqueFd> StoreImpl::OpenTree(const Digest& diff_id, bool* factory) const {
  auto own = OpenAt(tree_.get(), diff_id.hex(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (own || own.error().code() != Errc::kNotFound || !factory_ || !factory_->tree)
    return own;
  if (factory != nullptr)
    *factory = true;
  return OpenAt(factory_->tree.get(), diff_id.hex(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// Into a directory of its own first: a name in tree/ always stands for the complete layer.
Result<bool> StoreImpl::MakeTree(const LayerTree& tree, const Digest& diff_id, int dir) {
  std::string name = diff_id.hex();
  TRY(FillTree(tree, name, dir));
  return ops_.RenameNew(dir, name, tree_.get(), name);
}

Result<> StoreImpl::FillTree(const LayerTree& tree, const std::string& name, int dir) {
  TRY(ops_.RemoveTree(dir, name));
  TRY(ops_.MakeDir(dir, name));
  UniqueFd root = TRY(OpenAt(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  std::lock_guard lock(checkout_mutex_);
  return CheckOut(tree, *objects_, root.get());
}

// After a change of tier.
Result<> StoreImpl::EnsureRoot(const std::vector<LayerInfo>& layers, const Digest& chain_id) {
  if (tier_ != Tier::kDirectories) {
    std::lock_guard write_lock(write_mutex_);
    if (HasImage(chain_id))
      return {};
    TRY(MakeImage(layers, chain_id, txn_.get()));
    return ops_.SyncFileSystem(dir_.get());
  }
  bool made = false;
  for (const LayerInfo& layer : layers) {
    if (OpenTree(layer.diff_id))
      continue;
    LayerIndex index = TRY(ReadIndex(layer.diff_id));
    LayerTree tree = TRY(index.Tree());
    TRY(MakeTree(tree, layer.diff_id, txn_.get()));
    made = true;
  }
  return made ? ops_.SyncFileSystem(dir_.get()) : Result<>();
}

Result<RootFs> StoreImpl::ImageRoot(const Digest& chain_id) const {
  std::string name = Cat(chain_id.hex(), kImageSuffix);
  int dir = DirOf(name);
  UniqueFd fd = TRY(OpenAt(dir, name, O_RDONLY | O_NOFOLLOW));
  ErofsRoot root = TRY(ReadErofsRoot(fd.get()));
  std::vector<std::string> objects = {Cat(directory_, "/", kObjectsName)};
  if (factory_)
    objects.push_back(Cat(factory_->prefix, kObjectsName));
  return RootFs{.lower = {},
                .image = Cat(BaseOf(dir), kLayerName, "/", name),
                .objects = std::move(objects),
                .data_only = tier_ == Tier::kImageDataOnly,
                .mode = root.mode,
                .uid = root.uid,
                .gid = root.gid};
}

Result<RootFs> StoreImpl::TreeRoot(const std::vector<LayerInfo>& layers) const {
  RootFs root;
  std::set<Digest> seen;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    // overlayfs refuses a directory that is given twice; the upper one decides everything the lower
    // one says.
    if (!seen.insert(layer->diff_id).second)
      continue;
    std::string name = layer->diff_id.hex();
    bool factory = false;
    UniqueFd fd = TRY_CTX(Cat("layer ", name), OpenTree(layer->diff_id, &factory));
    if (root.lower.empty()) {
      struct stat info;
      if (fstat(fd.get(), &info) != 0)
        return FailSys("stat", name);
      root.mode = info.st_mode & 07777;
      root.uid = info.st_uid;
      root.gid = info.st_gid;
    }
    root.lower.push_back(
        Cat(BaseOf(factory ? factory_->tree.get() : tree_.get()), kTreeName, "/", name));
    if (IsOpaque(fd.get()))
      break;
  }
  return root;
}

Result<RootFs> StoreImpl::Root(const Digest& manifest_digest) {
  std::vector<LayerInfo> layers;
  Digest chain_id;
  {
    std::lock_guard lock(mutex_);
    auto image = images_.find(manifest_digest);
    if (image == images_.end())
      return Fail(Errc::kNotFound, Cat("there is no image ", manifest_digest.string()));
    layers = image->second.layers;
    chain_id = image->second.chain_id;
  }
  TRY(Sound(manifest_digest));
  if (layers.empty())
    return Fail(Errc::kUnsupported, "the image has no layers: there is nothing to run");
  TRY(EnsureRoot(layers, chain_id));
  return tier_ == Tier::kDirectories ? TreeRoot(layers) : ImageRoot(chain_id);
}

Result<std::unique_ptr<ByteSource>> StoreImpl::OpenLayer(const Digest& diff_id) {
  if (!HasLayer(diff_id))
    return Fail(Errc::kNotFound, Cat("layer ", diff_id.string(), " is not in the store"));
  auto index = std::make_shared<const LayerIndex>(TRY(ReadIndex(diff_id)));
  std::string name = Cat(diff_id.hex(), kSplitSuffix);
  UniqueFd split = TRY(OpenAt(DirOf(name), name, O_RDONLY | O_NOFOLLOW));
  auto open_object = [this, index](uint64_t number) -> Result<UniqueFd> {
    if (number >= index->object_count())
      return Fail(Errc::kCorrupt, "the layer's archive has more objects than its index");
    return objects_->OpenObject(index->object(static_cast<size_t>(number)).digest);
  };
  auto archive =
      std::make_unique<LayerArchive>(std::move(split), diff_id, std::move(open_object), limits_);
  TRY(archive->Open());
  return archive;
}

Result<std::unique_ptr<ByteSource>> StoreImpl::ApplyDelta(const Digest& from, ByteSource& delta) {
  if (!HasLayer(from))
    return Fail(Errc::kNotFound, Cat("layer ", from.string(), " is not in the store"));
  LayerIndex index = TRY(ReadIndex(from));
  auto files = std::make_unique<StoredLayerFiles>(TRY(index.Tree()), *objects_);
  return std::make_unique<TarDeltaSource>(delta, std::move(files), limits_);
}

Result<uint64_t> StoreImpl::ArchiveSize(const Digest& diff_id) {
  if (!HasLayer(diff_id))
    return Fail(Errc::kNotFound, Cat("layer ", diff_id.string(), " is not in the store"));
  std::string name = Cat(diff_id.hex(), kSplitSuffix);
  UniqueFd split = TRY(OpenAt(DirOf(name), name, O_RDONLY | O_NOFOLLOW));
  FileSource file(split.get());
  auto parts =
      TRY_CTX(Cat("layer ", diff_id.string()), Decompress(file, Compression::kGzip, limits_));
  return SizeOfArchive(std::move(parts));
}

}  // namespace wherry::store
