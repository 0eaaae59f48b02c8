// File contents, each once: obj/<2 hex>/<62 hex>, named by SHA-256. A name below obj/ stands for
// content that has been written back; new content waits in a transaction's directory until then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/base/digest.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/disk_ops.h"

namespace wherry::store {

// "ab/cdef...": below obj/, below a stage, and with "/" in front the redirect of overlayfs.
std::string ObjectPath(const Digest& digest);

// The directory obj/ of a store. Any thread.
class Objects {
 public:
  // Makes it when it is missing.
  static Result<Objects> Open(int store_dir);

  // Whether there is an object of that size. One of another size is damage: it counts as absent,
  // and Publish puts the right one in its place.
  bool Has(const Digest& digest, uint64_t size) const;
  Result<UniqueFd> OpenObject(const Digest& digest) const;
  int dir() const { return dir_.get(); }

 private:
  explicit Objects(UniqueFd dir) : dir_(std::move(dir)) {}
  UniqueFd dir_;
};

// What one transaction adds. Content that is known already, to the store or to the stage, costs no
// write when it is put at once, and no space when it is streamed. Not thread-safe; one stream at a
// time.
class ObjectStage {
 public:
  struct Options {
    uint64_t reserve_bytes = 0;  // left free on the file system
  };
  // `dir`: an empty directory on the file system of the objects.
  ObjectStage(const Objects& objects, UniqueFd dir, const Options& options)
      : objects_(objects), dir_(std::move(dir)), options_(options) {}

  // kNoSpace; system errors. Nothing is synced.
  Result<Digest> Put(std::span<const std::byte> content);

  // A file of `size` bytes, in pieces of rising offsets; what is between them are holes.
  Result<> Begin(uint64_t size);
  Result<> Write(std::span<const std::byte> bytes, uint64_t offset);
  Result<Digest> End();

  // Gives everything its final name. REQUIRES: written back (DiskOps::SyncFileSystem). What is in
  // obj/ already is as good. After an error, calling again goes on.
  Result<> Publish(DiskOps& ops);

  uint64_t written_bytes() const { return written_bytes_; }      // new content
  uint64_t known_bytes() const { return known_bytes_; }          // that was there already
  uint64_t discarded_bytes() const { return discarded_bytes_; }  // written before it proved known

 private:
  struct Stream {
    Stream(UniqueFd file, uint64_t total) : fd(std::move(file)), size(total) {}
    UniqueFd fd;
    uint64_t size;
    uint64_t position = 0;  // hashed so far, holes included
    Hasher hasher;
  };

  bool Known(const Digest& digest, uint64_t size) const;
  Result<> MakeParent(const Digest& digest);
  Result<> CheckSpace(uint64_t more);
  void HashZeros(uint64_t count);

  const Objects& objects_;
  UniqueFd dir_;
  Options options_;
  std::optional<Stream> stream_;
  uint64_t written_bytes_ = 0;
  uint64_t known_bytes_ = 0;
  uint64_t discarded_bytes_ = 0;
  uint64_t unchecked_bytes_ = 0;
};

}  // namespace wherry::store
