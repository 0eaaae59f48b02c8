// What the store takes on the disk, and which image how much of it. One stat for each file.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/store_impl.h"

namespace wherry::store {

namespace {

constexpr size_t kAtOnce = 1 << 16;
constexpr uint64_t kBlock = 512;

struct Need {
  Digest digest;
  uint32_t layer;
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
    TRY(Objects());
    std::sort(linked_.begin(), linked_.end());
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
    for (const std::string& entry : TRY(ListDirFd(dir.get()))) {
      bool there = fstatat(dir.get(), entry.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
      if (there && S_ISREG(info.st_mode))
        Share(of ? of(entry) : Images(), static_cast<uint64_t>(info.st_blocks) * kBlock);
    }
    return {};
  }

  // In parts, as the check of objects.
  Result<> Objects() {
    size_t total = 0;
    TRY(ForEachNeed([&](const Need&) { ++total; }));
    constexpr size_t kAll = kObjectGroups.size();
    size_t groups = std::clamp<size_t>(kAll / (total / kAtOnce + 1), 1, kAll);
    for (size_t first = 0; first < kAll; first += groups) {
      std::vector<Need> needs;
      TRY(ForEachNeed([&](const Need& need) {
        size_t group = ObjectGroup(need.digest);
        if (group >= first && group < first + groups)
          needs.push_back(need);
      }));
      std::sort(needs.begin(), needs.end(),
                [](const Need& a, const Need& b) { return a.digest < b.digest; });
      for (size_t group = first; group < std::min<size_t>(first + groups, kAll); ++group)
        TRY(Group(group, needs));
    }
    return {};
  }

  template <class Use>
  Result<> ForEachNeed(Use use) {
    for (const auto& [diff_id, number] : layer_numbers_) {
      auto index = store_.ReadIndex(diff_id);  // damaged or removed meanwhile: nobody's
      for (size_t i = 0; index && i < index->object_count(); ++i)
        use(Need{index->object(i).digest, static_cast<uint32_t>(number)});
    }
    return {};
  }

  Result<> Group(size_t group, const std::vector<Need>& needs) {
    std::string prefix(1, kObjectGroups[group]);
    auto opened = OpenAt(store_.objects_->dir(), prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened)
      return {};
    UniqueFd dir = *std::move(opened);
    struct stat info;
    if (fstat(dir.get(), &info) == 0)
      usage_.total_bytes += static_cast<uint64_t>(info.st_blocks) * kBlock;
    for (const std::string& name : TRY(ListDirFd(dir.get()))) {
      auto digest = Digest::ParseHex(prefix + name);
      if (!digest || fstatat(dir.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      Images images;
      auto need = std::lower_bound(needs.begin(), needs.end(), *digest,
                                   [](const Need& a, const Digest& b) { return a.digest < b; });
      for (; need != needs.end() && need->digest == *digest; ++need)
        images.insert(layers_[need->layer].begin(), layers_[need->layer].end());
      if (info.st_nlink > 1)
        linked_.push_back(info.st_ino);
      Share(images, static_cast<uint64_t>(info.st_blocks) * kBlock);
    }
    return {};
  }

  // A file or a directory with all that is in it, links to objects left out. What disappears
  // meanwhile is nothing.
  uint64_t Below(int parent, const std::string& name) {
    struct stat info;
    if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return 0;
    uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
    if (!S_ISDIR(info.st_mode)) {
      if (info.st_nlink > 1 && std::binary_search(linked_.begin(), linked_.end(), info.st_ino))
        return 0;
      return bytes / info.st_nlink;
    }
    auto dir = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    auto names = dir ? ListDirFd(dir->get()) : Result<std::vector<std::string>>();
    if (!names)
      return bytes;
    for (const std::string& entry : *names)
      bytes += Below(dir->get(), entry);
    return bytes;
  }

  const StoreImpl& store_;
  Usage usage_;
  std::vector<Images> layers_;              // images by number of the layer
  std::map<Digest, size_t> layer_numbers_;  // by diffID
  std::map<std::string, Images> chains_;    // by name below layer/
  std::map<std::string, Images> records_;   // by name below img/
  std::vector<ino_t> linked_;               // objects with several names
};

Result<Usage> StoreImpl::Measure() const {
  return UsageCounter(*this).Run();
}

}  // namespace wherry::store
