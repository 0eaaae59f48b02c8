// What the store takes on the disk, and which image how much of it. One stat for each file.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/store_impl.h"

namespace wherry::store {

namespace {

constexpr size_t kAtOnce = 1 << 17;  // 2 MiB of memory
constexpr uint64_t kBlock = 512;

struct Need {
  uint64_t head;  // of an object's digest
  uint32_t layer;
  bool operator<(const Need& other) const { return head < other.head; }
};

// Inodes are numbered closely by most file systems: a bit for each, in pages.
class InodeSet {
 public:
  void Insert(ino_t inode) { Word(inode) |= uint64_t{1} << inode % 64; }
  bool Contains(ino_t inode) const {
    auto page = pages_.find(inode / kPage);
    return page != pages_.end() && (page->second[inode % kPage / 64] >> inode % 64 & 1) != 0;
  }

 private:
  static constexpr ino_t kPage = 4096;
  uint64_t& Word(ino_t inode) { return pages_[inode / kPage][inode % kPage / 64]; }
  std::map<ino_t, std::array<uint64_t, kPage / 64>> pages_;
};

}  // namespace

class UsageCounter {
 public:
  explicit UsageCounter(const StoreImpl& store) : store_(store) {
    std::lock_guard lock(store_.mutex_);
    for (const auto& [digest, image] : store_.images_) {
      size_t number = usage_.images.size();
      usage_.images.push_back({digest, 0, 0});
      chains_[Cat(image.chain_id.hex(), kImageSuffix)].insert(number);
      records_[digest.hex()].insert(number);
      for (const LayerInfo& layer : image.layers) {
        auto [known, added] = layer_numbers_.try_emplace(layer.diff_id, layers_.size());
        if (added)
          layers_.emplace_back();
        layers_[known->second].insert(number);
      }
    }
  }

  Result<Usage> Run() {
    TRY(AllObjects());
    TRY(Files(store_.dir_.get(), kLayerName,
              [this](const std::string& name) { return OfLayerFile(name); }));
    TRY(Files(store_.dir_.get(), kImageName, [this](const std::string& name) {
      auto record = records_.find(name);
      return record == records_.end() ? Images() : record->second;
    }));
    for (const char* name : {kTransactionName, kResumeName, kQuarantineName})
      usage_.total_bytes += Below(store_.dir_.get(), name);
    TRY(Files(store_.dir_.get(), kTreeName, {}));
    for (const auto& [diff_id, number] : layer_numbers_)
      Share(layers_[number], Below(store_.tree_.get(), diff_id.hex()));
    TRY(Files(store_.dir_.get(), ".", {}));
    return std::move(usage_);
  }

 private:
  using Images = std::set<size_t>;

  void Share(const Images& images, uint64_t bytes) {
    usage_.total_bytes += bytes;
    for (size_t image : images) {
      usage_.images[image].size_bytes += bytes;
      if (images.size() == 1)
        usage_.images[image].unique_bytes += bytes;
    }
  }

  Images OfLayerFile(const std::string& name) const {
    auto chain = chains_.find(name);
    if (chain != chains_.end())
      return chain->second;
    auto digest = Digest::ParseHex(name.substr(0, name.find('.')));
    auto layer = digest ? layer_numbers_.find(*digest) : layer_numbers_.end();
    return layer == layer_numbers_.end() ? Images() : layers_[layer->second];
  }

  // The files of one directory and the directory itself; without `of`: the directory and its plain
  // files, for everybody.
  Result<> Files(int parent, const std::string& name,
                 const std::function<Images(const std::string&)>& of) {
    UniqueFd dir = TRY(OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    struct stat info;
    if (fstat(dir.get(), &info) == 0)
      usage_.total_bytes += static_cast<uint64_t>(info.st_blocks) * kBlock;
    return ForEachEntry(dir.get(), [&](const char* entry) -> Result<> {
      bool there = fstatat(dir.get(), entry, &info, AT_SYMLINK_NOFOLLOW) == 0;
      if (there && S_ISREG(info.st_mode))
        Share(of ? of(entry) : Images(), static_cast<uint64_t>(info.st_blocks) * kBlock);
      return {};
    });
  }

  Result<> AllObjects() {
    for (const char group : kObjectGroups)
      usage_.total_bytes += Own(store_.objects_->dir(), std::string(1, group));
    uint64_t total = 0;
    std::vector<std::pair<Digest, uint32_t>> readable;
    for (const auto& [diff_id, number] : layer_numbers_) {
      uint64_t objects = 0;
      auto read = store_.ScanIndex(diff_id, LayerIndex::Trust::kVerify,
                                   [&](const ObjectSize&) { ++objects; });
      if (!read)
        continue;  // damaged or removed meanwhile: nobody's
      total += objects;
      readable.emplace_back(diff_id, static_cast<uint32_t>(number));
    }
    auto ranges = DigestRanges(total, kAtOnce);
    std::vector<Need> needs;
    needs.reserve(RangeCapacity(total, ranges.size()));
    for (const DigestRange& range : ranges) {
      needs.clear();
      for (const auto& [diff_id, number] : readable) {
        (void)store_.ScanIndex(diff_id, LayerIndex::Trust::kVerified,
                               [&, layer = number](const ObjectSize& object) {
                                 if (range.Has(object.digest))
                                   needs.push_back({DigestHead(object.digest), layer});
                               });
      }
      std::sort(needs.begin(), needs.end());
      TRY(store_.objects_->ForEach(range, Objects::Strangers::kSkip,
                                   [&](const Digest& digest) -> Result<> {
                                     Object(digest, needs);
                                     return {};
                                   }));
    }
    return {};
  }

  void Object(const Digest& digest, const std::vector<Need>& needs) {
    struct stat info;
    if (fstatat(store_.objects_->dir(), ObjectPath(digest).c_str(), &info, AT_SYMLINK_NOFOLLOW) !=
        0)
      return;
    if (info.st_nlink > 1)
      linked_.Insert(info.st_ino);
    auto bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
    auto [first, end] = std::equal_range(needs.begin(), needs.end(), Need{DigestHead(digest), 0});
    if (end - first == 1)
      return Share(layers_[first->layer], bytes);
    Images images;
    for (auto need = first; need != end; ++need)
      images.insert(layers_[need->layer].begin(), layers_[need->layer].end());
    Share(images, bytes);
  }

  // Of a directory itself.
  static uint64_t Own(int parent, const std::string& name) {
    struct stat info;
    bool there = fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    return there ? static_cast<uint64_t>(info.st_blocks) * kBlock : 0;
  }

  // A file or a directory with all that is in it, links to objects left out. What disappears
  // meanwhile is nothing.
  uint64_t Below(int parent, const std::string& name) {
    struct stat info;
    if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return 0;
    uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
    if (!S_ISDIR(info.st_mode)) {
      if (info.st_nlink > 1 && linked_.Contains(info.st_ino))
        return 0;
      return bytes / info.st_nlink;
    }
    auto dir = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir)
      return bytes;
    (void)ForEachEntry(dir->get(), [&](const char* entry) -> Result<> {
      bytes += Below(dir->get(), entry);
      return {};
    });
    return bytes;
  }

  const StoreImpl& store_;
  Usage usage_;
  std::vector<Images> layers_;              // images by number of the layer
  std::map<Digest, size_t> layer_numbers_;  // by diffID
  std::map<std::string, Images> chains_;    // by name below layer/
  std::map<std::string, Images> records_;   // by name below img/
  InodeSet linked_;                         // objects with several names
};

Result<Usage> StoreImpl::Measure() const {
  return UsageCounter(*this).Run();
}

}  // namespace wherry::store
