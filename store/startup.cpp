// Opening a store: what may refuse, what is cleaned up, what is set aside. Nothing here trusts what
// it reads.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/space.h"
#include "store/store_impl.h"
#include "store/tier.h"

namespace wherry::store {

namespace {

constexpr uint32_t kPrivate = 0700;
constexpr uint32_t kPrivateFile = 0600;
constexpr size_t kShownHex = 12;
constexpr size_t kMaxCleanBytes = 64;  // the id of a factory store

Error Unusable(Error error, std::string_view directory) {
  return std::move(error).FollowedBy(
      Error(Errc::kInvalid, Cat("make ", directory,
                                " a writable directory, or choose another with 'root' "
                                "in the configuration or --root")));
}

Result<std::string> AbsolutePath(const std::string& path) {
  std::string resolved(PATH_MAX, '\0');
  if (realpath(path.c_str(), resolved.data()) == nullptr) {
    return FailSys("realpath", path);
  }
  resolved.resize(resolved.find('\0'));
  return resolved;
}

// Temporary files of replacements that were cut short.
void RemoveTemporaries(int dir, DiskOps& ops) {
  auto names = ListDirFd(dir);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    if (name.starts_with('.')) {
      (void)ops.RemoveFile(dir, name);  // the next replacement would take its place
    }
  }
}

}  // namespace

struct StoreImpl::FoundRefs {
  struct Record {
    int64_t created;
    Digest digest;
    std::vector<std::string> names;
  };
  std::vector<Record> records;
};

Result<> CheckLayerFiles(const Image& image, const std::set<std::string>& layer_files) {
  for (const LayerInfo& layer : image.layers) {
    if (!layer_files.contains(Cat(layer.diff_id.hex(), kIndexSuffix))) {
      return Fail(Errc::kCorrupt,
                  Cat("its layer ", layer.diff_id.hex().substr(0, kShownHex), " is missing"));
    }
  }
  return {};
}

Result<> CheckStoreVersion(uint64_t version, const std::string& directory,
                           std::string_view remedy) {
  if (version <= kStoreVersion)
    return {};
  return Fail(Errc::kUnsupported,
              Cat(directory, " has store format ", version, ", this version of wherry knows ",
                  kStoreVersion, "; install a newer wherry, or ", remedy));
}

Result<std::unique_ptr<StoreImpl>> StoreImpl::OpenWith(const std::string& directory,
                                                       const Options& options, DiskOps& ops,
                                                       std::vector<std::string>* notices) {
  auto made = MakeDirs(directory, kPrivate);
  auto path = made ? AbsolutePath(directory) : std::unexpected(std::move(made).error());
  if (!path) {
    return std::unexpected(Unusable(std::move(path).error(), directory).Wrap("open the store"));
  }
  std::unique_ptr<StoreImpl> store(new StoreImpl(*std::move(path), options, ops));
  TRY_CTX("open the store", store->Start(options, notices));
  return store;
}

Result<> StoreImpl::Start(const Options& options, std::vector<std::string>* notices) {
  std::vector<std::string> ignored;
  std::vector<std::string>& told = notices != nullptr ? *notices : ignored;
  dir_ = TRY(OpenDir(directory_));
  TRY(CheckBacking(dir_.get(), directory_));
  TRY(Lock());
  TRY(CheckVersion(told));
  RemoveTemporaries(dir_.get(), ops_);
  RemoveTemporaries(img_.get(), ops_);
  FoundRefs found;
  TRY(LoadRecords(found, told));
  TRY(LoadRefs(found, told));
  LoadFactory(options.factory, told);
  RemoveLeftovers(told);
  tier_ = TRY(ChooseTier(options.tier, txn_.get(), Cat(directory_, "/", kTransactionName)));
  TRY(ProbeVerity(options.verity));
  if (factory_)
    TRY(UseFactory());
  // Images here may rely on objects of the factory store there was.
  auto clean = ReadFileAt(dir_.get(), kCleanName, kMaxCleanBytes);
  clean_ = checked_ = clean && *clean == (factory_ ? factory_->id : "");
  if (!clean_)
    TRY(ops_.RemoveFile(dir_.get(), kCleanName));
  return {};
}

Result<> StoreImpl::ProbeVerity(Verity wanted) {
  if (wanted == Verity::kOff)
    return {};
  constexpr const char* kProbe = "verity";
  auto probe = [&]() -> Result<> {
    UniqueFd file = TRY(ops_.Create(txn_.get(), kProbe, kPrivateFile));
    file.Reset();
    return ops_.Seal(txn_.get(), kProbe);
  };
  auto works = probe();
  TRY(ops_.RemoveFile(txn_.get(), kProbe));
  if (!works && wanted == Verity::kRequire) {
    return Fail(
        Errc::kUnsupported,
        Cat("fs-verity does not work in ", directory_, ": ", works.error().message(),
            "; it needs a kernel with CONFIG_FS_VERITY and a file system made with 'mkfs.ext4 "
            "-O verity' or 'mkfs.f2fs -O verity', or set 'fs-verity = off' in [store]"));
  }
  verity_ = works.has_value();
  objects_->SetSealed(verity_);
  return {};
}

StoreImpl::~StoreImpl() {
  MarkClean();
}

bool StoreImpl::IsUntouched() const {
  std::lock_guard lock(mutex_);
  return clean_;
}

void StoreImpl::SetChecked() {
  {
    std::lock_guard lock(mutex_);
    checked_ = true;
  }
  MarkClean();
}

// Before the first name of a layer: names of one file system become durable in their order.
Result<> StoreImpl::Touch() {
  std::lock_guard lock(mutex_);
  if (clean_)
    TRY(ops_.RemoveFile(dir_.get(), kCleanName));
  clean_ = false;
  ++transactions_;
  return {};
}

void StoreImpl::MarkClean() {
  std::lock_guard lock(mutex_);
  if (clean_ || !checked_ || transactions_ > 0 || !broken_.empty())
    return;
  auto file = ops_.Create(dir_.get(), kCleanName, kPrivateFile);
  clean_ = file && (!factory_ || WriteAll(file->get(), factory_->id, kCleanName));
}

Result<> StoreImpl::Lock() {
  auto lock = OpenAt(dir_.get(), kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!lock) {
    return std::unexpected(Unusable(std::move(lock).error(), directory_));
  }
  if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Fail(Errc::kBusy, Cat(directory_,
                                   " is used by another wherry daemon; stop that one, "
                                   "or give this one another --root"));
    }
    return FailSys("flock", kLockName);
  }
  lock_ = *std::move(lock);
  return {};
}

Result<> StoreImpl::CheckVersion(std::vector<std::string>& notices) {
  auto text = ReadFileAt(dir_.get(), kVersionName, 64);
  bool fresh = !text && text.error().code() == Errc::kNotFound;
  auto version = text ? ParseUint(Trim(*text)) : std::unexpected(std::move(text).error());
  if (version)
    TRY(CheckStoreVersion(*version, directory_, "choose another --root"));
  auto opened = OpenParts();
  if (!opened) {
    return std::unexpected(Unusable(std::move(opened).error(), directory_));
  }
  if (version && *version > 0) {
    return {};
  }
  if (fresh) {
    TRY(ProbeBacking(txn_.get(), directory_));
  } else {  // every version writes a number there: this is damage
    notices.push_back(Cat(directory_, "/", kVersionName, " was damaged and has been rewritten"));
  }
  auto written = ops_.ReplaceFile(dir_.get(), kVersionName, Cat(kStoreVersion, "\n"));
  if (!written) {
    return std::unexpected(Unusable(std::move(written).error(), directory_));
  }
  return {};
}

Result<> StoreImpl::OpenParts() {
  struct Part {
    const char* name;
    UniqueFd* fd;
  };
  for (Part part : {Part{kLayerName, &layer_}, Part{kTreeName, &tree_}, Part{kImageName, &img_},
                    Part{kTransactionName, &txn_}, Part{kResumeName, &resume_}}) {
    TRY(ops_.MakeDir(dir_.get(), part.name));
    *part.fd = TRY(OpenAt(dir_.get(), part.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  objects_.emplace(TRY(Objects::Open(dir_.get(), ops_)));
  return {};
}

Result<> StoreImpl::LoadRecords(FoundRefs& found, std::vector<std::string>& notices) {
  auto names = TRY_CTX(kLayerName, ListDirFd(layer_.get()));
  std::set<std::string> layer_files(names.begin(), names.end());
  for (const std::string& name : TRY_CTX(kImageName, ListDirFd(img_.get()))) {
    if (name.starts_with('.')) {  // which could not be removed
      continue;
    }
    auto loaded = LoadRecord(name, layer_files, found);
    if (!loaded) {
      bool moved = Quarantine(img_.get(), name, Cat(kImageName, "-", name));
      notices.push_back(Cat("image ", name.substr(0, kShownHex), " is damaged and not available: ",
                            loaded.error().message(), "; pull it again",
                            moved ? Cat(" (its record is in ", kQuarantineName, "/)") : ""));
    }
  }
  return {};
}

Result<> StoreImpl::LoadRecord(const std::string& name, const std::set<std::string>& layer_files,
                               FoundRefs& found) {
  Digest digest = TRY(Digest::ParseHex(name));
  std::string content = TRY(ReadFileAt(img_.get(), name, kMaxRecordBytes));
  StoredRecord record = TRY(DecodeRecord(content, digest));
  TRY(CheckLayerFiles(record.image, layer_files));
  found.records.push_back({record.image.created_unix_nanos, digest, std::move(record.refs)});
  std::lock_guard lock(mutex_);
  AddImageLocked(record.image);
  for (const LayerInfo& layer : record.image.layers) {
    layers_[layer.diff_id].durable = true;
  }
  return {};
}

// What an operation left that was cut short. Failures are told, not returned: garbage costs space,
// not correctness. The transactions go last: while one is there, this is done again.
void StoreImpl::RemoveLeftovers(std::vector<std::string>& notices) {
  auto transactions = ListDirFd(txn_.get());
  auto files = UnusedLayerFiles();
  std::vector<std::string> interrupted = FindInterrupted();
  if (!transactions || !files) {
    const Error& error = transactions ? files.error() : transactions.error();
    notices.push_back(
        Cat("what an interrupted operation left cannot be listed: ", error.message()));
    return;
  }
  if (transactions->empty() && files->empty() && interrupted.empty()) {
    return;
  }
  CollectResult freed;
  auto removed = RemoveUnusedObjects(freed);
  for (const UnusedFile& file : *files) {
    removed = removed ? ops_.RemoveTree(file.dir, file.name) : std::move(removed);
  }
  if (!removed) {
    notices.push_back(Cat("what an interrupted operation left cannot all be removed: ",
                          removed.error().message()));
    return;
  }
  if (!files->empty()) {
    notices.push_back(Cat("removed ", files->size(), " files of layers that no image uses"));
  }
  if (!interrupted.empty()) {
    notices.push_back(Cat("removed what interrupted pulls have left of ", interrupted.size(),
                          " layers: they are too old or complete"));
  }
  for (const std::string& name : interrupted) {
    (void)ops_.RemoveTree(resume_.get(), name);  // or at the next start
  }
  for (const std::string& name : *transactions) {
    auto gone = ops_.RemoveTree(txn_.get(), name);
    notices.push_back(
        gone ? Cat("removed what an interrupted operation left in ", kTransactionName, "/", name)
             : Cat("cannot remove ", kTransactionName, "/", name, ": ", gone.error().message()));
  }
}

// In layer/ and tree/. As long as one of them is there the next start looks for unused objects too.
Result<std::vector<StoreImpl::UnusedFile>> StoreImpl::UnusedLayerFiles() const {
  std::set<Digest> chains;
  for (const auto& [digest, image] : images_) {
    chains.insert(image.chain_id);
  }
  std::vector<UnusedFile> unused;
  for (const std::string& name : TRY(ListDirFd(layer_.get()))) {
    size_t dot = std::min(name.find('.'), name.size());
    std::string_view suffix = std::string_view(name).substr(dot);
    auto digest = Digest::ParseHex(name.substr(0, dot));
    bool of_layer = suffix == kIndexSuffix || suffix == kSplitSuffix;
    auto layer = digest ? layers_.find(*digest) : layers_.end();
    bool used = digest &&
                (suffix == kImageSuffix ? chains.contains(*digest)
                                        : of_layer && layer != layers_.end() && layer->second.own);
    if (!used) {
      unused.push_back({layer_.get(), name});
    }
  }
  for (const std::string& name : TRY(ListDirFd(tree_.get()))) {
    auto digest = Digest::ParseHex(name);
    if (!digest || !layers_.contains(*digest)) {
      unused.push_back({tree_.get(), name});
    }
  }
  return unused;
}

Result<> StoreImpl::LoadRefs(const FoundRefs& found, std::vector<std::string>& notices) {
  auto content = ReadFileAt(dir_.get(), kRefsName, kMaxRefsBytes);
  bool absent = !content && content.error().code() == Errc::kNotFound;
  auto refs = content ? DecodeRefs(*content) : std::unexpected(std::move(content).error());
  bool changed = false;
  if (!refs && !(absent && found.records.empty())) {
    // The records know the names they were committed with; the latest wins.
    auto records = found.records;
    std::sort(records.begin(), records.end(),
              [](const auto& a, const auto& b) { return a.created < b.created; });
    RefMap rebuilt;
    for (const auto& record : records) {
      for (const std::string& name : record.names) {
        rebuilt.insert_or_assign(name, record.digest);
      }
    }
    notices.push_back(Cat("the names of the images were ", absent ? "missing" : "damaged", " (",
                          refs.error().message(), ") and have been rebuilt: ", rebuilt.size(),
                          " names; those given with 'tag' are lost"));
    if (!absent) {
      Quarantine(dir_.get(), kRefsName, kRefsName);
    }
    refs = std::move(rebuilt);
    changed = true;
  }
  refs_ = refs ? *std::move(refs) : RefMap();
  for (auto ref = refs_.begin(); ref != refs_.end();) {
    if (images_.contains(ref->second)) {
      ++ref;
      continue;
    }
    notices.push_back(Cat("dropped the name ", ref->first, ": its image is not available"));
    ref = refs_.erase(ref);
    changed = true;
  }
  if (changed) {
    auto written = ReplaceRefs(refs_);
    if (!written) {
      notices.push_back(Cat("this is not saved yet: ", written.error().message()));
    }
  }
  return {};
}

bool StoreImpl::Quarantine(int dir, const std::string& name, const std::string& as) {
  if (!ops_.MakeDir(dir_.get(), kQuarantineName)) {
    return false;
  }
  auto quarantine = OpenAt(dir_.get(), kQuarantineName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!quarantine || !RemoveTreeAt(quarantine->get(), as)) {
    return false;
  }
  return renameat(dir, name.c_str(), quarantine->get(), as.c_str()) == 0;
}

}  // namespace wherry::store
