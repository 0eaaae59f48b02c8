// Layers whose taking in ended before its end: what of them is kept, and for how long
// (docs/store.md, "Interrupted pulls").
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "store/layer_recorder.h"
#include "store/layer_resume.h"
#include "store/transaction.h"

namespace wherry::store {

namespace {

// Below this fetching a layer again is cheaper than keeping track of it.
constexpr uint64_t kSmallestBlob = uint64_t{4} << 20;
constexpr int64_t kKeptSeconds = int64_t{7} * 24 * 3600;

bool HasExpired(int dir, const std::string& name) {
  struct stat info;
  return fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         UnixNanosNow() / 1'000'000'000 - info.st_mtim.tv_sec > kKeptSeconds;
}

// What another checkpoint, or none, may do better than the one that was used.
bool MayBeCheckpoint(const Error& error) {
  switch (error.code()) {
    case Errc::kCorrupt:
    case Errc::kInvalid:
    case Errc::kUnsupported:
    case Errc::kNotFound:
    case Errc::kIo:
      return true;
    default:
      return false;
  }
}

// After these errors the same will happen again, or the space is needed.
bool IsFinal(const Error& error) {
  return error.code() == Errc::kCorrupt || error.code() == Errc::kInvalid ||
         error.code() == Errc::kUnsupported || error.code() == Errc::kNoSpace;
}

}  // namespace

// Tells what is not kept; it is removed after the objects only it needed.
std::vector<std::string> StoreImpl::FindInterrupted() {
  std::vector<std::string> stale;
  auto names = ListDirFd(resume_.get());
  std::lock_guard lock(mutex_);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    auto diff_id = Digest::ParseHex(name);
    bool keep = diff_id && !layers_.contains(*diff_id) && !HasExpired(resume_.get(), name);
    if (keep) {
      interrupted_.insert(*diff_id);
      objects_->Doubt(LoggedObjects(resume_.get(), *diff_id));
    } else {
      stale.push_back(name);
    }
  }
  return stale;
}

// From here on its objects are suspects. The directory is the caller's to remove, after them.
void StoreImpl::ForgetInterrupted(const Digest& diff_id) {
  {
    std::lock_guard lock(mutex_);
    if (interrupted_.erase(diff_id) == 0)
      return;
  }
  std::vector<Digest> objects;
  for (const ObjectSize& object : LoggedObjects(resume_.get(), diff_id))
    objects.push_back(object.digest);
  Suspect(objects);
}

// Of those that nobody is at work on.
std::vector<std::string> StoreImpl::ForgetAllInterrupted() {
  std::vector<Digest> idle;
  {
    std::lock_guard lock(mutex_);
    std::set_difference(interrupted_.begin(), interrupted_.end(), resuming_.begin(),
                        resuming_.end(), std::back_inserter(idle));
  }
  std::vector<std::string> names;
  for (const Digest& diff_id : idle) {
    ForgetInterrupted(diff_id);
    names.push_back(diff_id.hex());
  }
  return names;
}

bool TransactionImpl::IsResumable(const LayerSource& layer) const {
  return layer.start != nullptr && layer.diff_id && layer.blob_digest && layer.blob_size &&
         *layer.blob_size >= kSmallestBlob && !store_.FindBroken(*layer.diff_id);
}

// REQUIRES: ingest_mutex_ held.
Result<LayerInfo> TransactionImpl::AddResumable(const LayerSource& layer,
                                                IngestProgress& progress) {
  LayerIdentity identity{*layer.diff_id, *layer.blob_digest, *layer.blob_size};
  bool mine = false;
  {
    std::lock_guard lock(store_.mutex_);
    mine = store_.resuming_.insert(identity.diff_id).second;
    if (mine)
      store_.interrupted_.insert(identity.diff_id);
  }
  if (!mine)  // another transaction is at work on it
    return AddWhole(layer, progress);
  resuming_.push_back(identity.diff_id);
  LayerResume resume = TRY(LayerResume::Open(store_.resume_.get(), identity, store_.ops_));
  std::optional<Error> damaged;
  std::vector<SavedLayer> found = resume.Find(damaged);
  if (damaged)
    layer.start->OnFreshStart(*damaged);
  for (size_t next = 0;;) {
    const SavedLayer* saved = next < found.size() ? &found[next++] : nullptr;
    bool replayed = false;
    auto info = AddAttempt(layer, progress, resume, saved, replayed);
    if (info)
      return info;
    if (saved == nullptr || !MayBeCheckpoint(info.error())) {
      if (IsFinal(info.error()))
        DropResume(identity.diff_id);
      return info;
    }
    if (replayed)  // the others will not do better
      next = found.size();
    if (next == found.size())
      layer.start->OnFreshStart(info.error());
  }
}

Result<LayerInfo> TransactionImpl::AddWhole(const LayerSource& layer, IngestProgress& progress) {
  return Ingest(dir_.get(), layer.diff_id, [&](const IngestTarget& target) {
    return IngestLayer(layer, store_.limits_, target, progress);
  });
}

Result<LayerInfo> TransactionImpl::AddAttempt(const LayerSource& layer, IngestProgress& progress,
                                              LayerResume& resume, const SavedLayer* saved,
                                              bool& replayed) {
  UniqueFd dir = TRY(resume.Begin());
  LayerIdentity identity{*layer.diff_id, *layer.blob_digest, *layer.blob_size};
  LayerRecorder recorder(dir.get(), store_.ops_, identity, [&resume] { resume.RemoveOlder(); });
  IngestResume how{.recorder = recorder, .saved = saved, .objects = &*store_.objects_};
  auto take = [&](const IngestTarget& target) {
    if (saved != nullptr && saved->file)
      target.objects.Offer(saved->file.get(), saved->file_dir.get());
    return IngestLayer(layer, store_.limits_, target, progress, &how);
  };
  auto info = Ingest(dir.get(), layer.diff_id, take);
  replayed = how.replayed;
  return info;
}

void TransactionImpl::DropResume(const Digest& diff_id) {
  store_.ForgetInterrupted(diff_id);
  (void)store_.ops_.RemoveTree(store_.resume_.get(), diff_id.hex());
}

// What is in an image now needs no help any more.
void TransactionImpl::EndResuming() {
  for (const Digest& diff_id : resuming_) {
    bool done = false;
    {
      std::lock_guard lock(store_.mutex_);
      auto layer = store_.layers_.find(diff_id);
      done = layer != store_.layers_.end() && layer->second.images > 0;
    }
    if (done)
      DropResume(diff_id);
    std::lock_guard lock(store_.mutex_);
    store_.resuming_.erase(diff_id);
  }
}

}  // namespace wherry::store
