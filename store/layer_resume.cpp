#include "store/layer_resume.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/bytes.h"
#include "store/layer_recorder.h"

namespace wherry::store {

namespace {

// Of all checkpoints; among them is one that was synced.
constexpr size_t kMostTried = 3;
constexpr size_t kMaxLogBytes = size_t{64} << 20;

uint64_t SizeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

}  // namespace

Result<LayerResume> LayerResume::Open(int parent, const LayerIdentity& layer, DiskOps& ops) {
  std::string name = layer.diff_id.hex();
  TRY(ops.MakeDir(parent, name));
  UniqueFd dir = TRY(OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  LayerResume resume(std::move(dir), layer, ops);
  auto attempts = resume.Attempts();
  resume.next_ = attempts.empty() ? 1 : attempts.front() + 1;
  return resume;
}

std::vector<uint64_t> LayerResume::Attempts() const {
  std::vector<uint64_t> attempts;
  auto names = ListDirFd(dir_.get());
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    if (auto number = ParseUint(name))
      attempts.push_back(*number);
  }
  std::sort(attempts.rbegin(), attempts.rend());
  return attempts;
}

std::vector<SavedLayer> LayerResume::Find(std::optional<Error>& damaged) {
  struct Found {
    uint64_t attempt;
    SavedLayer saved;
  };
  std::vector<Found> found;
  for (uint64_t attempt : Attempts()) {
    auto dir = OpenAt(dir_.get(), Cat(attempt), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (size_t slot = 0; dir && slot < kCheckpointSlots; ++slot) {
      auto bytes = ReadFileAt(dir->get(), CheckpointName(slot), kMaxCheckpointBytes);
      if (!bytes)
        continue;
      auto checkpoint = DecodeCheckpoint(*bytes, layer_);
      auto again = OpenAt(dir->get(), ".", O_RDONLY | O_DIRECTORY);
      if (!checkpoint)
        damaged = std::move(checkpoint).error();
      else if (again)
        found.push_back({attempt, {*std::move(checkpoint), *std::move(again), {}, {}}});
    }
  }
  if (!found.empty())
    damaged.reset();
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return a.saved.checkpoint.point.output > b.saved.checkpoint.point.output;
  });
  if (found.size() > kMostTried)
    found.resize(kMostTried);
  // The attempt after may have taken the file over.
  auto open_file = [this](SavedLayer& saved) -> std::optional<uint64_t> {
    bool has_file = saved.checkpoint.file_bytes > 0 && saved.checkpoint.twin.none();
    for (uint64_t attempt : has_file ? Attempts() : std::vector<uint64_t>()) {
      auto dir = OpenAt(dir_.get(), Cat(attempt), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!dir)
        continue;
      auto file = OpenAt(dir->get(), kPartName, O_RDWR | O_NOFOLLOW);
      if (!file || SizeOf(file->get()) < saved.checkpoint.file_bytes)
        continue;
      saved.file = *std::move(file);
      saved.file_dir = *std::move(dir);
      return attempt;
    }
    return std::nullopt;
  };
  std::set<uint64_t> needed;
  std::vector<SavedLayer> best;
  for (auto& [attempt, saved] : found) {
    needed.insert(attempt);
    needed.insert(open_file(saved).value_or(attempt));
    best.push_back(std::move(saved));
  }
  for (uint64_t attempt : Attempts()) {
    if (!needed.contains(attempt))
      (void)ops_->RemoveTree(dir_.get(), Cat(attempt));
  }
  return best;
}

Result<UniqueFd> LayerResume::Begin() {
  std::string name = Cat(next_++);
  TRY(ops_->MakeDir(dir_.get(), name));
  return OpenAt(dir_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

void LayerResume::RemoveOlder() {
  for (uint64_t attempt : Attempts()) {
    if (attempt + 1 < next_)
      (void)ops_->RemoveTree(dir_.get(), Cat(attempt));
  }
}

std::vector<ObjectSize> LoggedObjects(int parent, const Digest& diff_id) {
  std::vector<ObjectSize> objects;
  auto dir = OpenAt(parent, diff_id.hex(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto attempts = dir ? ListDirFd(dir->get()) : Result<std::vector<std::string>>();
  for (const std::string& attempt : attempts ? *attempts : std::vector<std::string>()) {
    auto log = ReadFileAt(dir->get(), Cat(attempt, "/", kObjectsLog), kMaxLogBytes);
    if (!log)
      continue;
    BytesReader reader(*log);
    while (reader.left() >= kLogEntryBytes) {
      std::array<uint8_t, Digest::kSize> digest;
      memcpy(digest.data(), reader.Take(digest.size()).data(), digest.size());
      objects.push_back({Digest(digest), reader.Int<uint64_t>()});
    }
  }
  return objects;
}

}  // namespace wherry::store
