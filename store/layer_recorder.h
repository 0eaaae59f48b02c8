// Writes checkpoints while a layer is taken in. The threads of the pipeline (ingest.h) each have
// their part of it: the first one finds points in the blob, the second the digest of the archive up
// to them, the third one, the caller's, knows what of the archive has been given to the kernel.
//
// A checkpoint goes to a file without a sync: it outlives the process. Twice a minute, and when
// nothing comes any more, one is written to another file and all is synced, which outlives a power
// cut. Whatever fails here costs checkpoints, not the layer.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "store/archive_split.h"
#include "store/checkpoint.h"
#include "store/disk_ops.h"
#include "store/objects.h"

namespace wherry::store {

// Names in the directory of an attempt.
inline constexpr const char* kSplitPart = "headers";
inline constexpr const char* kObjectsLog = "objects";  // digest and size of each, 40 bytes
inline constexpr size_t kLogEntryBytes = Digest::kSize + sizeof(uint64_t);
inline constexpr size_t kCheckpointSlots = 4;  // two not synced, two synced, written in turn
std::string CheckpointName(size_t slot);

class LayerRecorder final : public PointSink, public HashingSource::Prefixes {
 public:
  // `dir`, of the attempt, and the others must outlive this. `superseded`: what earlier attempts
  // have left is not needed any more.
  LayerRecorder(int dir, DiskOps& ops, const LayerIdentity& layer,
                std::function<void()> superseded);

  // The first thread. `blob` keeps its states.
  void Begin(const HashingSource* blob, uint64_t input);
  bool Wants(uint64_t input) override;
  void Take(ResumePoint point) override;

  // The second thread.
  std::optional<uint64_t> NextPrefix() override;
  void OnPrefix(const Digest& digest) override;

  // The third thread. What of the archive is there besides what `split` has.
  struct State {
    SplitWriter& split;
    const std::vector<ObjectSize>& objects;
    ObjectWriter::Given file;
  };
  // Quick when nothing is to be done. An error is one of `split`, and final.
  Result<> Advance(const State& state);
  // The same when nothing comes any more.
  Result<> Idle(const State& state);
  // The file whose beginning a checkpoint may have counted on is the last of `objects` now.
  void FileEnded(const std::vector<ObjectSize>& objects);
  // All of the layer is there. `blob` was read to its end.
  void Complete(const State& state, const Digest& diff_id);

 private:
  struct Pending {
    ResumePoint point;
    HashingSource::Saved blob;
    Digest prefix;  // none: not known yet
  };
  std::optional<Pending> Latest(uint64_t archive_bytes);
  Result<> Save(const State& state, Pending pending);
  Result<> LogObjects(const std::vector<ObjectSize>& objects);
  Result<> WriteSlot(size_t slot);
  Result<> MakeDurable();
  void GiveUpUnless(const Result<>& done) { given_up_ = given_up_ || !done; }

  const int dir_;
  DiskOps& ops_;
  const LayerIdentity layer_;
  const std::function<void()> superseded_;
  const uint64_t interval_;
  const HashingSource* blob_ = nullptr;  // the first thread's
  uint64_t last_input_ = 0;              // the first thread's

  std::mutex mutex_;
  std::deque<Pending> pending_;        // guarded by mutex_; in the order of the stream
  std::atomic<uint64_t> next_output_;  // of the first one

  // The third thread's.
  UniqueFd sync_;  // opened before anything is written: see DiskOps::SyncFileSystem
  UniqueFd log_;
  std::array<UniqueFd, kCheckpointSlots> slots_;
  size_t logged_ = 0;
  std::string encoded_;  // the latest checkpoint
  bool durable_ = true;  // that one
  size_t turn_ = 0;
  size_t durable_turn_ = 0;
  std::chrono::nanoseconds synced_;
  std::atomic<bool> given_up_ = false;
};

}  // namespace wherry::store
