// File contents, each once: obj/<1 hex>/<63 hex>, named by SHA-256. An object gets its name when
// all of its content has been given to the kernel; it counts as durable only once an image whose
// record was written after the next syncfs needs it (docs/store.md, "Commit").
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/base/digest.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/digest_ranges.h"
#include "store/disk_ops.h"

namespace wherry::store {

inline constexpr const char* kObjectsName = "obj";  // below the store directory

inline constexpr const char* kPartName = "part";  // in a writer's directory: what has no name yet

// The directories below obj/, by the first digit of a digest. Not more of them, because each costs
// an update a block, and a journal that block again, for a few names.
inline constexpr std::string_view kObjectGroups = "0123456789abcdef";
size_t ObjectGroup(const Digest& digest);

// "a/bcdef...": below obj/, and with "/" in front the redirect of overlayfs.
std::string ObjectPath(const Digest& digest);

struct ObjectSize {
  Digest digest;
  uint64_t size = 0;
};

// The directory obj/ of a store, and behind it that of a factory store. Any thread.
class Objects {
 public:
  // Makes it when it is missing.
  static Result<Objects> Open(int store_dir, DiskOps& ops);
  // Reads from the directory `dir` (borrowed) what is not here. `counts`: such an object need not
  // be here as well.
  void SetFactory(int dir, bool counts);
  // Whether objects get fs-verity from here on.
  void SetSealed(bool sealed) { sealed_ = sealed; }
  // Damaged there: not used any more.
  void Distrust(const Digest& digest);
  bool IsDistrusted(const Digest& digest) const;
  std::vector<Digest> Distrusted() const;
  // Looks at one of those again: a factory store may have been written anew. False: still damaged.
  Result<bool> TrustAgain(const Digest& digest);

  // Whether there is an object of that size. One of another size is damage: it counts as absent,
  // and Place puts the right one there.
  bool Has(const Digest& digest, uint64_t size) const;
  // The same, compared with its content when that is doubted.
  bool Holds(const Digest& digest, std::span<const std::byte> content) const;
  // Objects a power cut may have left with other content: Has does not count on them until Place or
  // Holds has.
  void Doubt(const std::vector<ObjectSize>& objects);
  // Its content has been compared.
  void Trust(const Digest& digest) const;
  Result<UniqueFd> OpenObject(const Digest& digest) const;
  // Not from the factory store.
  Result<UniqueFd> OpenOwn(const Digest& digest) const;
  // One that need not be written again.
  Result<UniqueFd> OpenCounted(const Digest& digest) const {
    return factory_counts_ ? OpenObject(digest) : OpenOwn(digest);
  }
  // The directory that has it, and its attributes; nothing: neither does, or with that errno.
  struct Found {
    int dir = -1;
    struct stat info = {};
    int error = 0;
  };
  Found Find(const Digest& digest) const;
  // Gives a file its name as an object.
  Result<> Place(int dir, const std::string& name, const Digest& digest);
  // Returns the bytes that became free; absent is success.
  Result<uint64_t> Remove(const Digest& digest);
  // Tells those of a range, one after the other. `use` may remove the object; its first error ends
  // it.
  enum class Strangers : uint8_t { kSkip, kRemove };  // what is no object
  Result<> ForEach(const DigestRange& range, Strangers strangers,
                   const std::function<Result<>(const Digest&)>& use) const;
  int dir() const { return dir_.get(); }

 private:
  struct Doubts {
    std::mutex mutex;
    std::unordered_set<Digest, DigestHash> digests;
    std::unordered_set<Digest, DigestHash> bad;  // in the factory store
  };
  Objects(UniqueFd dir, DiskOps& ops)
      : dir_(std::move(dir)), ops_(&ops), doubts_(std::make_unique<Doubts>()) {}
  bool IsThere(const Digest& digest, uint64_t size) const;
  bool IsDoubted(const Digest& digest) const;
  bool InFactory(const Digest& digest) const;

  UniqueFd dir_;
  int factory_ = -1;
  bool factory_counts_ = false;
  bool sealed_ = false;
  DiskOps* ops_;
  std::unique_ptr<Doubts> doubts_;
};

// What one transaction adds. Content that the store has already costs no write: what is put at once
// is hashed first, a stream is compared with the objects it could be. Not thread-safe; one stream
// at a time.
class ObjectWriter {
 public:
  // Objects of a size that a stream may turn out to be.
  using FindTwins = std::function<std::vector<Digest>(uint64_t size)>;

  // `dir`: a directory of the writer's own on the file system of the objects. `find_twins` may be
  // empty: streams are written then, and dropped when they prove known.
  ObjectWriter(Objects& objects, int dir, DiskOps& ops, uint64_t reserve_bytes,
               FindTwins find_twins = {})
      : objects_(objects),
        dir_(dir),
        ops_(ops),
        reserve_bytes_(reserve_bytes),
        find_twins_(std::move(find_twins)) {}

  // kNoSpace when less than the reserve would be left free; system errors. Nothing is synced.
  Result<Digest> Put(std::span<const std::byte> content);

  // A file of `size` bytes, in pieces of rising offsets; what is between them are holes. `told`:
  // the digest somebody says it has, or null. The content decides.
  Result<> Begin(uint64_t size, const Digest* told = nullptr);
  Result<> Write(std::span<const std::byte> bytes, uint64_t offset);
  Result<Digest> End();

  // Content that was begun earlier: the file kPartName of the directory `dir`, open as `fd` for
  // reading and writing. When a stream begins with it, the file is taken over and not written
  // again.
  // Both are borrowed.
  void Offer(int fd, int dir) { offered_ = {fd, dir}; }

  // The part of the current stream that has been given to the kernel, and the object that has it,
  // else the file kPartName. Nothing: no stream, or one that is still compared with what was begun.
  struct Given {
    uint64_t bytes = 0;
    Digest twin;
  };
  std::optional<Given> given() const;

  // Objects that were not there before.
  const std::vector<Digest>& added() const { return added_; }
  uint64_t written_bytes() const { return written_bytes_; }      // new content
  uint64_t known_bytes() const { return known_bytes_; }          // that was there already
  uint64_t discarded_bytes() const { return discarded_bytes_; }  // written before it proved known

 private:
  struct Twin {
    Digest digest;  // none: begun only
    UniqueFd fd;
  };
  struct Offered {
    int fd = -1;
    int dir = -1;
  };
  struct Stream {
    explicit Stream(uint64_t total) : size(total) {}
    uint64_t size;
    uint64_t position = 0;    // seen so far, holes included
    std::vector<Twin> twins;  // equal so far; nothing is written while there are such
    UniqueFd fd;              // otherwise
    Hasher hasher;
  };

  Result<> CheckSpace(uint64_t more);
  Result<bool> IsTwin(const Twin& twin, std::span<const std::byte> bytes) const;
  Result<> Append(std::span<const std::byte> bytes, uint64_t offset);
  Result<> StartWriting(Twin* twin);
  Result<> GoOnWith(Twin& begun);
  void HashZeros(uint64_t count);

  Objects& objects_;
  const int dir_;
  DiskOps& ops_;
  const uint64_t reserve_bytes_;
  const FindTwins find_twins_;
  Offered offered_;
  std::optional<Stream> stream_;
  std::vector<Digest> added_;
  uint64_t written_bytes_ = 0;
  uint64_t known_bytes_ = 0;
  uint64_t discarded_bytes_ = 0;
  uint64_t unchecked_bytes_ = 0;
};

}  // namespace wherry::store
