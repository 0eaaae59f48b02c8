#include "store/factory.h"

#include <fcntl.h>

#include <algorithm>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/store_impl.h"

namespace wherry::store {

namespace {

Result<Image> ReadImage(const Factory& factory, const std::string& name,
                        const std::set<std::string>& layer_files, RefMap& names) {
  Digest digest = TRY(Digest::ParseHex(name));
  std::string text = TRY(ReadFileAt(factory.img.get(), name, kMaxRecordBytes));
  StoredRecord record = TRY(DecodeRecord(std::move(text), digest));
  TRY(CheckLayerFiles(record.image, layer_files));
  for (const std::string& ref : record.refs)
    names.insert_or_assign(ref, digest);
  record.image.manifest.clear();
  record.image.config.clear();
  return std::move(record.image);
}

}  // namespace

Result<Factory> OpenFactory(const std::string& directory, std::vector<std::string>& notices) {
  Factory factory;
  factory.prefix = Cat(directory, "/");
  UniqueFd dir = TRY(OpenDir(directory));
  std::string version = TRY(ReadFileAt(dir.get(), kVersionName, 64));
  uint64_t number = TRY(ParseUint(Trim(version)));
  TRY(CheckStoreVersion(number, directory, "make it with an older one"));
  struct Part {
    const char* name;
    UniqueFd* fd;
  };
  for (Part part : {Part{kObjectsName, &factory.objects}, Part{kLayerName, &factory.layer},
                    Part{kImageName, &factory.img}})
    *part.fd = TRY(OpenAt(dir.get(), part.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (auto tree = OpenAt(dir.get(), kTreeName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
    factory.tree = *std::move(tree);
  auto listed = TRY(ListDirFd(factory.layer.get()));
  std::set<std::string> layer_files(listed.begin(), listed.end());
  auto records = TRY(ListDirFd(factory.img.get()));
  std::sort(records.begin(), records.end());
  RefMap names;
  std::string all;
  for (const std::string& name : records) {
    auto image = ReadImage(factory, name, layer_files, names);
    if (image)
      factory.images.push_back(*std::move(image));
    else
      notices.push_back(Cat("image ", name.substr(0, 12), " of the factory store ", directory,
                            " is damaged and not available: ", image.error().message(),
                            "; pull it"));
    Append(all, name, "\n");
  }
  auto content = ReadFileAt(dir.get(), kRefsName, kMaxRefsBytes);
  auto refs = content ? DecodeRefs(*content) : std::unexpected(std::move(content).error());
  if (!refs)
    notices.push_back(Cat("the names of the factory store ", directory, " are damaged (",
                          refs.error().message(), "); those its images were made with are used"));
  factory.refs = refs ? *std::move(refs) : std::move(names);
  std::erase_if(factory.refs, [&](const auto& ref) {
    return std::none_of(factory.images.begin(), factory.images.end(),
                        [&](const Image& image) { return image.manifest_digest == ref.second; });
  });
  factory.id = Digest::Of(all).hex();
  return factory;
}

// Without it everything goes on: what images here lack then is found as damage.
void StoreImpl::LoadFactory(const std::string& directory, std::vector<std::string>& notices) {
  if (directory.empty())
    return;
  auto factory = OpenFactory(directory, notices);
  if (!factory) {
    notices.push_back(
        Cat("the factory store ", directory, " is not used: ", factory.error().message()));
    return;
  }
  factory_ = *std::move(factory);
  LoadFactoryDamage();
  std::lock_guard lock(mutex_);
  for (const Image& image : std::exchange(factory_->images, {}))
    AddFactoryImageLocked(image);
}

// Images that lack what is damaged there are out of use from the start.
Result<> StoreImpl::UseFactory() {
  objects_->SetFactory(factory_->objects.get(), tier_ != Tier::kDirectories);
  std::vector<Digest> missing = objects_->Distrusted();
  std::erase_if(missing, [&](const Digest& digest) { return objects_->Find(digest).dir >= 0; });
  return missing.empty() ? Result<>() : BreakLayersWith(std::move(missing));
}

size_t StoreImpl::FactoryDamage() const {
  std::lock_guard lock(mutex_);
  return objects_->Distrusted().size() + bad_chains_.size();
}

Result<> StoreImpl::SaveFactoryDamage() {
  std::string text = Cat(factory_->id, "\n");
  for (const Digest& digest : objects_->Distrusted())
    Append(text, kObjectsName, " ", digest.hex(), "\n");
  {
    std::lock_guard lock(mutex_);
    for (const Digest& chain_id : bad_chains_)
      Append(text, kLayerName, " ", chain_id.hex(), "\n");
  }
  return ops_.ReplaceFile(dir_.get(), kFactoryDamageName, text);
}

// Whatever cannot be read there is found again by the next check.
void StoreImpl::LoadFactoryDamage() {
  auto text = ReadFileAt(dir_.get(), kFactoryDamageName, kMaxRefsBytes);
  auto first = text ? SplitFirst(*text, '\n') : std::nullopt;
  if (!first)
    return;
  bool same = first->head == factory_->id;
  std::vector<Digest> objects;
  std::string_view rest = first->tail;
  while (auto line = SplitFirst(rest, '\n')) {
    rest = line->tail;
    auto parts = SplitFirst(line->head, ' ');
    auto digest = parts ? Digest::ParseHex(parts->tail) : Fail(Errc::kInvalid, "no digest");
    if (!digest)
      continue;
    if (parts->head == kObjectsName) {
      objects.push_back(*digest);
    } else if (same) {
      std::lock_guard lock(mutex_);
      bad_chains_.insert(*digest);
    }
  }
  if (same) {
    for (const Digest& digest : objects)
      objects_->Distrust(digest);
    return;
  }
  // Of a factory store that has been replaced; what stood in for it may not be needed.
  Suspect(objects);
  (void)ops_.RemoveFile(dir_.get(), kFactoryDamageName);
}

}  // namespace wherry::store
