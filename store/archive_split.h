// What a layer's archive is made of besides the content of its objects: layer/<diffID>.tar. With it
// and the objects the archive can be rebuilt bit for bit, so that its blob need not be kept. Format
// in docs/store.md, "Archives".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/base/byte_source.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/disk_ops.h"

namespace wherry::store {

// In the order of the archive. Not thread-safe.
class SplitWriter {
 public:
  // Writes to the empty file `fd`, deflated.
  static Result<SplitWriter> Create(UniqueFd fd, DiskOps& ops);
  ~SplitWriter();
  SplitWriter(SplitWriter&&) noexcept;
  SplitWriter& operator=(SplitWriter&&) = delete;

  Result<> Raw(std::span<const std::byte> bytes);
  // `size` bytes of the layer's object `number`.
  Result<> Object(uint64_t number, uint64_t offset, uint64_t size);
  // Everything so far can be read from the file.
  Result<> Flush();
  Result<> Finish();
  // Of the archive, so far.
  uint64_t archive_bytes() const;

 private:
  struct State;
  explicit SplitWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Length of the archive that `split` describes, without its objects. kCorrupt when the parts do not
// fit together.
Result<uint64_t> SizeOfArchive(std::unique_ptr<ByteSource> split);

// The archive again. What comes out has to be verified against the diffID.
class ArchiveSource final : public ByteSource {
 public:
  using OpenObject = std::move_only_function<Result<UniqueFd>(uint64_t number)>;
  // `split`: what SplitWriter has written, inflated.
  ArchiveSource(std::unique_ptr<ByteSource> split, OpenObject open_object);

  // kCorrupt when the parts do not fit together.
  Result<size_t> Read(std::span<std::byte> out) override;
  // Passes over the next part; its length, or nothing at the end. REQUIRES: Read is not called.
  Result<std::optional<uint64_t>> SkipPart();

 private:
  Result<uint8_t> Byte();
  Result<uint64_t> Number();
  Result<bool> NextPart();

  std::unique_ptr<ByteSource> split_;
  OpenObject open_object_;
  std::string buffer_;  // of split_
  size_t begin_ = 0;
  bool split_ended_ = false;
  UniqueFd object_;  // of the current part; closed: raw bytes
  uint64_t object_number_ = 0;
  uint64_t offset_ = 0;
  uint64_t left_ = 0;  // of the current part
};

}  // namespace wherry::store
