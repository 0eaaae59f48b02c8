// Disk operations that are recorded, fail where they are told to, and can be lost as in a power
// cut, of which nothing is really synced: content and names that were not synced may be gone, names
// in the reverse of their order.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/disk_ops.h"

namespace wherry::store {

class PowerOps final : public DiskOps {
 public:
  // `graveyard`: a directory on the same file system, for what was removed and may come back.
  explicit PowerOps(std::string graveyard) : graveyard_(std::move(graveyard)) {
    (void)wherry::RemoveTree(graveyard_);
    (void)MakeDirs(graveyard_, 0700);
  }
  ~PowerOps() override { (void)wherry::RemoveTree(graveyard_); }

  std::vector<std::string> steps;
  size_t fail_at = SIZE_MAX;  // this one fails
  bool fail_after = false;    // it is done, then reported as failed
  size_t cut_at = SIZE_MAX;   // this one and all after it fail
  bool syncs_count = true;    // false: syncs do nothing

  Result<UniqueFd> Create(int dir, const std::string& name, uint32_t mode) override {
    UniqueFd fd;
    auto action = [&]() -> Result<> {
      Bury(PathOf(dir, name));
      fd = TRY(DiskOps::Create(dir, name, mode));
      Undoable([path = PathOf(dir, name)] { unlink(path.c_str()); });
      return {};
    };
    TRY(Step("create", name, action));
    return fd;
  }
  Result<> Write(int fd, std::span<const std::byte> bytes, uint64_t offset) override {
    return Step("write", "", [&] {
      struct stat info{};
      fstat(fd, &info);
      {
        std::lock_guard lock(mutex_);
        if (!dirty_.contains(info.st_ino))
          dirty_.emplace(info.st_ino, dup(fd));
      }
      return DiskOps::Write(fd, bytes, offset);
    });
  }
  Result<> MakeDir(int dir, const std::string& name) override {
    return Step("mkdir", name, [&]() -> Result<> {
      bool there = faccessat(dir, name.c_str(), F_OK, 0) == 0;
      TRY(DiskOps::MakeDir(dir, name));
      if (!there)
        Undoable([path = PathOf(dir, name)] { rmdir(path.c_str()); });
      return {};
    });
  }
  Result<> Rename(int from_dir, const std::string& from, int to_dir,
                  const std::string& to) override {
    return Step("rename", to, [&]() -> Result<> {
      std::string target = PathOf(to_dir, to);
      std::string source = PathOf(from_dir, from);
      std::string grave;
      if (PathExists(source) && PathExists(target)) {
        grave = NewGrave();
        rename(target.c_str(), grave.c_str());
      }
      TRY(DiskOps::Rename(from_dir, from, to_dir, to));
      // Both at once: a cut leaves the old or the new.
      Undoable([target, source, grave] {
        rename(target.c_str(), source.c_str());
        if (!grave.empty())
          rename(grave.c_str(), target.c_str());
      });
      return {};
    });
  }
  Result<bool> RenameNew(int from_dir, const std::string& from, int to_dir,
                         const std::string& to) override {
    bool renamed = false;
    auto action = [&]() -> Result<> {
      renamed = TRY(DiskOps::RenameNew(from_dir, from, to_dir, to));
      if (renamed)
        Undoable([target = PathOf(to_dir, to), source = PathOf(from_dir, from)] {
          rename(target.c_str(), source.c_str());
        });
      return {};
    };
    TRY(Step("rename", to, action));
    return renamed;
  }
  Result<> Link(int from_dir, const std::string& from, int to_dir, const std::string& to) override {
    return Step("link", to, [&]() -> Result<> {
      TRY(DiskOps::Link(from_dir, from, to_dir, to));
      Undoable([path = PathOf(to_dir, to)] { unlink(path.c_str()); });
      return {};
    });
  }
  Result<> RemoveFile(int dir, const std::string& name) override {
    return Step("remove", name, [&]() -> Result<> {
      Bury(PathOf(dir, name));
      return {};
    });
  }
  Result<> RemoveTree(int dir, const std::string& name) override {
    return Step("rmtree", name, [&]() -> Result<> {
      Bury(PathOf(dir, name));
      return {};
    });
  }
  Result<> SyncFileSystem(int) override {
    return Step("syncfs", "", [&]() -> Result<> {
      if (syncs_count)
        Settle();
      return {};
    });
  }
  Result<> SyncDirectory(int, std::string_view name) override {
    return Step("fsync", std::string(name), [&]() -> Result<> {
      if (syncs_count)
        Settle();  // as ext4: all names, in order
      return {};
    });
  }
  Result<> ReplaceFile(int dir, const std::string& name, std::string_view content) override {
    return Step("replace", name, [&]() -> Result<> {
      std::string path = PathOf(dir, name);
      Bury(path);
      TRY(ReplaceFileAt(dir, name, content, 0600, Durability::kVolatile));
      std::lock_guard lock(mutex_);
      if (!syncs_count) {
        undo_.emplace_back([path] { unlink(path.c_str()); });
      } else if (!undo_.empty()) {
        undo_.pop_back();  // the new file is durable: the old one does not come back
      }
      return {};
    });
  }

  // What a power cut does to everything since the last sync.
  void LosePower(std::mt19937& random) {
    std::lock_guard lock(mutex_);
    for (const auto& [inode, fd] : dirty_) {
      struct stat info{};
      fstat(fd.get(), &info);
      switch (random() % 3) {
        case 0:
          (void)!ftruncate(fd.get(), 0);
          break;
        case 1:
          (void)!ftruncate(fd.get(), info.st_size / 2);
          break;
        default:
          break;
      }
    }
    dirty_.clear();
    for (size_t kept = random() % (undo_.size() + 1); undo_.size() > kept; undo_.pop_back())
      undo_.back()();
  }

 private:
  template <class Action>
  Result<> Step(std::string_view what, const std::string& name, Action action) {
    size_t number = 0;
    {
      std::lock_guard lock(mutex_);
      number = steps.size();
      steps.push_back(name.empty() ? std::string(what) : Cat(what, " ", name));
    }
    if (number >= cut_at)
      return Fail(Errc::kIo, "the power is off");
    if (number != fail_at)
      return action();
    if (fail_after)
      (void)action();
    return Fail(Errc::kIo, "injected");
  }

  static std::string PathOf(int dir, const std::string& name) {
    char path[PATH_MAX];
    ssize_t length = readlink(Cat("/proc/self/fd/", dir).c_str(), path, sizeof path);
    return Cat(std::string_view(path, static_cast<size_t>(std::max<ssize_t>(length, 0))), "/",
               name);
  }

  void Undoable(std::function<void()> undo) {
    std::lock_guard lock(mutex_);
    undo_.push_back(std::move(undo));
  }

  std::string NewGrave() { return Cat(graveyard_, "/", ++graves_); }

  // Takes a file or a directory out of the way.
  void Bury(const std::string& path) {
    if (!PathExists(path))
      return;
    std::string grave = NewGrave();
    if (rename(path.c_str(), grave.c_str()) == 0)
      Undoable([path, grave] { rename(grave.c_str(), path.c_str()); });
  }

  void Settle() {
    std::lock_guard lock(mutex_);
    undo_.clear();
    dirty_.clear();
  }

  const std::string graveyard_;
  std::mutex mutex_;
  std::map<ino_t, UniqueFd> dirty_;  // files whose content is not durable
  std::vector<std::function<void()>> undo_;
  std::atomic<int> graves_ = 0;
};

}  // namespace wherry::store
