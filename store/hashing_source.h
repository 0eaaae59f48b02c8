// A ByteSource that hashes what passes through it and, at the end of the stream, compares digest
// and length with what is expected. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/byte_source.h"
#include "core/base/digest.h"

namespace wherry::store {

class HashingSource final : public ByteSource {
 public:
  struct Expected {
    std::string what;              // "layer blob sha256:...": begins the error message
    std::optional<Digest> digest;  // absent: hashed only when asked for
    std::optional<uint64_t> size;
  };

  // What a hash was after so many bytes.
  struct Saved {
    uint64_t bytes = 0;
    std::string state;  // Hasher::Save
  };
  // Wants digests of beginnings of the stream.
  class Prefixes {
   public:
    virtual ~Prefixes() = default;
    // The length of the next one; not below bytes().
    virtual std::optional<uint64_t> NextPrefix() = 0;
    virtual void OnPrefix(const Digest& digest) = 0;
  };

  // For content whose digest is not known before.
  enum class Hash : uint8_t { kIfExpected, kAlways };

  // `inner` must outlive this.
  HashingSource(ByteSource& inner, Expected expected, Hash hash = Hash::kIfExpected);

  // Goes on after the first `bytes` of the stream, of which `hasher` tells.
  HashingSource(ByteSource& inner, Expected expected, Hasher hasher, uint64_t bytes);

  void KeepStates() { keeps_states_ = true; }
  // As it was before the last Read that returned something, and at the end. REQUIRES: KeepStates.
  const Saved& saved() const { return saved_; }
  void Tell(Prefixes* prefixes) { prefixes_ = prefixes; }

  // kCorrupt as soon as more bytes arrive than expected, and at the end of the stream when length
  // or digest differ. The 0 that marks the end is therefore only returned for verified content.
  Result<size_t> Read(std::span<std::byte> out) override;

  // Reads on to the end, so that what was not consumed is verified too. kCorrupt, or kInvalid after
  // `limit` further bytes.
  Result<> Drain(uint64_t limit);

  uint64_t bytes() const { return bytes_; }
  // Of everything. REQUIRES: verified(), and a digest that was expected or Hash::kAlways.
  const Digest& digest() const { return actual_; }
  // The end was reached and everything matched.
  bool verified() const { return state_ == State::kVerified; }
  // An error was returned, of `inner` or a mismatch: nothing more can be read.
  bool failed() const { return state_ == State::kFailed; }
  // What does not match, when that was it; else empty.
  const std::string& mismatch() const { return mismatch_; }

 private:
  enum class State : uint8_t { kOpen, kVerified, kFailed };
  void Count(std::span<const std::byte> bytes);
  void SaveState();
  Result<> VerifyEnd();
  std::unexpected<Error> Mismatch(std::string what);

  ByteSource& inner_;
  Expected expected_;
  const bool hashes_;
  Hasher hasher_;
  bool keeps_states_ = false;
  Saved saved_;
  Prefixes* prefixes_ = nullptr;
  Digest actual_;
  uint64_t bytes_ = 0;
  State state_ = State::kOpen;
  std::string mismatch_;
};

}  // namespace wherry::store
