// Digest of content: sha256 only, "sha256:<64 hex>" (OCI image-spec v1.1, descriptor.md#digests).
// sha512 is recognised as not supported. Hashing is mbedTLS's SHA-256, which uses the ARMv8
// instructions where the processor has them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry {

class Digest {
 public:
  static constexpr size_t kSize = 32;
  Digest() = default;  // all zero: "none"
  explicit Digest(const std::array<uint8_t, kSize>& bytes) : bytes_(bytes) {}

  // Strictly ^sha256:[0-9a-f]{64}$; kInvalid otherwise, kUnsupported for sha512.
  static Result<Digest> Parse(std::string_view text);
  // 64 hex characters without the algorithm.
  static Result<Digest> ParseHex(std::string_view hex);
  static Digest Of(std::string_view content);

  bool none() const;
  std::string hex() const;     // 64 characters
  std::string string() const;  // with "sha256:"
  const std::array<uint8_t, kSize>& bytes() const { return bytes_; }

  auto operator<=>(const Digest&) const = default;

 private:
  std::array<uint8_t, kSize> bytes_{};
};

// For unordered containers: it is a hash already.
struct DigestHash {
  size_t operator()(const Digest& digest) const {
    size_t value = 0;
    for (size_t i = 0; i < sizeof value; ++i)
      value = value << 8 | digest.bytes()[i];
    return value;
  }
};

// Incremental SHA-256.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view bytes);
  // The computation so far, to be gone on with elsewhere or later. It tells the last 63 bytes.
  std::string Save() const;
  static Result<Hasher> Restore(std::string_view saved);  // kCorrupt: not one of Save
  // Ends the computation; the object may only be destroyed or assigned afterwards.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace wherry
