#include "store/layer_recorder.h"

#include <fcntl.h>

#include <algorithm>
#include <limits>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "store/bytes.h"

namespace wherry::store {

namespace {

// What is fetched again after a stop is a small part of the blob, and each checkpoint 35 kB of
// memory that mostly do not reach the disk.
constexpr uint64_t kIntervals = 128;
constexpr uint64_t kSmallestInterval = uint64_t{64} << 10;
constexpr size_t kMostPending = 8;
// When the kernel writes such data back anyway, by its default.
constexpr std::chrono::seconds kSyncEvery{30};
constexpr size_t kFirstDurable = 2;  // of the slots
constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

}  // namespace

std::string CheckpointName(size_t slot) {
  return Cat("checkpoint.", slot);
}

LayerRecorder::LayerRecorder(int dir, DiskOps& ops, const LayerIdentity& layer,
                             std::function<void()> superseded)
    : dir_(dir),
      ops_(ops),
      layer_(layer),
      superseded_(std::move(superseded)),
      interval_(std::max(layer.blob_size / kIntervals, kSmallestInterval)),
      next_output_(kNever),
      synced_(Uptime()) {
  auto sync = OpenAt(dir, ".", O_RDONLY | O_DIRECTORY);
  given_up_ = !sync;
  if (sync)
    sync_ = *std::move(sync);
}

void LayerRecorder::Begin(const HashingSource* blob, uint64_t input) {
  blob_ = blob;
  last_input_ = input;
}

bool LayerRecorder::Wants(uint64_t input) {
  return input - last_input_ >= interval_ && !given_up_;
}

void LayerRecorder::Take(ResumePoint point) {
  const HashingSource::Saved& blob = blob_->saved();
  std::lock_guard lock(mutex_);
  if (blob.bytes > point.input || pending_.size() == kMostPending)
    return;
  last_input_ = point.input;
  if (pending_.empty())
    next_output_ = point.output;
  pending_.push_back({std::move(point), blob, {}});
}

std::optional<uint64_t> LayerRecorder::NextPrefix() {
  std::lock_guard lock(mutex_);
  for (const Pending& pending : pending_) {
    if (pending.prefix.none())
      return pending.point.output;
  }
  return std::nullopt;
}

void LayerRecorder::OnPrefix(const Digest& digest) {
  std::lock_guard lock(mutex_);
  auto first = std::find_if(pending_.begin(), pending_.end(),
                            [](const Pending& pending) { return pending.prefix.none(); });
  first->prefix = digest;
}

// The last point that is covered; those before it are dropped.
std::optional<LayerRecorder::Pending> LayerRecorder::Latest(uint64_t archive_bytes) {
  std::lock_guard lock(mutex_);
  std::optional<Pending> latest;
  while (!pending_.empty() && pending_.front().point.output <= archive_bytes &&
         !pending_.front().prefix.none()) {
    latest = std::move(pending_.front());
    pending_.pop_front();
  }
  next_output_ = pending_.empty() ? kNever : pending_.front().point.output;
  return latest;
}

Result<> LayerRecorder::Advance(const State& state) {
  uint64_t there = state.split.archive_bytes() + state.file.bytes;
  if (there < next_output_ || given_up_)
    return {};
  auto latest = Latest(there);
  if (!latest)
    return {};
  TRY(Save(state, *std::move(latest)));
  if (Uptime() - synced_ >= kSyncEvery)
    GiveUpUnless(MakeDurable());
  return {};
}

Result<> LayerRecorder::Idle(const State& state) {
  TRY(Advance(state));
  if (!durable_ && !given_up_)
    GiveUpUnless(MakeDurable());
  return {};
}

void LayerRecorder::FileEnded(const std::vector<ObjectSize>& objects) {
  if (!given_up_)
    GiveUpUnless(LogObjects(objects));
}

void LayerRecorder::Complete(const State& state, const Digest& diff_id) {
  Pending all;
  all.point.input = layer_.blob_size;
  all.point.output = state.split.archive_bytes();
  all.blob = blob_->saved();
  all.prefix = diff_id;
  if (given_up_ || !Save(state, std::move(all)))
    return;
  // The only one that is needed now, and short.
  for (size_t slot = 0; slot < kCheckpointSlots; ++slot) {
    if (slots_[slot] && slot != turn_ % kFirstDurable)
      (void)ops_.RemoveFile(dir_, CheckpointName(slot));
  }
}

Result<> LayerRecorder::Save(const State& state, Pending pending) {
  Checkpoint checkpoint{.layer = layer_,
                        .point = std::move(pending.point),
                        .blob = std::move(pending.blob),
                        .prefix = pending.prefix,
                        .split_bytes = state.split.archive_bytes(),
                        .objects = state.objects.size(),
                        .file_bytes = state.file.bytes,
                        .twin = state.file.twin};
  if (checkpoint.point.input < layer_.blob_size)
    TRY(state.split.Flush());
  encoded_ = EncodeCheckpoint(checkpoint);
  auto save = [&]() -> Result<> {
    TRY(LogObjects(state.objects));
    return WriteSlot(++turn_ % kFirstDurable);
  };
  durable_ = false;
  GiveUpUnless(save());
  return {};
}

Result<> LayerRecorder::LogObjects(const std::vector<ObjectSize>& objects) {
  if (!log_)
    log_ = TRY(ops_.Create(dir_, kObjectsLog, 0600));
  std::string entries;
  for (size_t i = logged_; i < objects.size(); ++i) {
    entries.append(reinterpret_cast<const char*>(objects[i].digest.bytes().data()), Digest::kSize);
    PutInt(entries, objects[i].size);
  }
  TRY(ops_.Write(log_.get(), std::as_bytes(std::span(entries)), logged_ * kLogEntryBytes));
  logged_ = objects.size();
  return {};
}

Result<> LayerRecorder::WriteSlot(size_t slot) {
  if (!slots_[slot])
    slots_[slot] = TRY(ops_.Create(dir_, CheckpointName(slot), 0600));
  return ops_.Write(slots_[slot].get(), std::as_bytes(std::span(encoded_)), 0);
}

// A cut in the middle of it leaves the one that was synced before.
Result<> LayerRecorder::MakeDurable() {
  TRY(WriteSlot(kFirstDurable + durable_turn_++ % kFirstDurable));
  TRY(ops_.SyncFileSystem(sync_.get()));
  synced_ = Uptime();
  durable_ = true;
  if (durable_turn_ == 1)
    superseded_();
  return {};
}

}  // namespace wherry::store
