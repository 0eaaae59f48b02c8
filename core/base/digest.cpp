#include "core/base/digest.h"

#include <mbedtls/sha256.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/text.h"

namespace wherry {

namespace {

constexpr std::string_view kPrefix = "sha256:";

constexpr size_t kBlockBytes = 64;

// mbedTLS's software and ARMv8 SHA-256 cannot fail; a build whose accelerator can must not go on
// with a wrong hash.
void Check(int status) {
  if (status != 0) [[unlikely]] {
    abort();
  }
}

bool IsLowerHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

uint8_t HexValue(char c) {
  return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10);
}

}  // namespace

Result<Digest> Digest::ParseHex(std::string_view hex) {
  if (hex.size() != 2 * kSize || !std::all_of(hex.begin(), hex.end(), IsLowerHex)) {
    return Fail(Errc::kInvalid, "a sha256 digest must be 64 lower-case hex digits");
  }
  std::array<uint8_t, kSize> bytes;
  for (size_t i = 0; i < kSize; ++i) {
    bytes[i] = static_cast<uint8_t>(HexValue(hex[2 * i]) << 4 | HexValue(hex[2 * i + 1]));
  }
  return Digest(bytes);
}

Result<Digest> Digest::Parse(std::string_view text) {
  if (text.starts_with("sha512:")) {
    return Fail(Errc::kUnsupported, "digest algorithm sha512 is not supported; use sha256");
  }
  if (!text.starts_with(kPrefix)) {
    return Fail(Errc::kInvalid, "a digest must begin with \"sha256:\"");
  }
  return ParseHex(text.substr(kPrefix.size()));
}

Digest Digest::Of(std::string_view content) {
  Hasher hasher;
  hasher.Update(content);
  return hasher.Finish();
}

bool Digest::none() const {
  return *this == Digest();
}

std::string Digest::hex() const {
  return HexEncode(bytes_);
}

std::string Digest::string() const {
  return Cat(kPrefix, hex());
}

struct Hasher::Context {
  mbedtls_sha256_context sha256;
};

Hasher::Hasher() : context_(std::make_unique<Context>()) {
  mbedtls_sha256_init(&context_->sha256);
  Check(mbedtls_sha256_starts(&context_->sha256, 0));
}

Hasher::~Hasher() {
  if (context_) {
    mbedtls_sha256_free(&context_->sha256);
  }
}

Hasher::Hasher(Hasher&&) noexcept = default;

Hasher& Hasher::operator=(Hasher&& other) noexcept {
  context_.swap(other.context_);
  return *this;
}

void Hasher::Update(std::span<const std::byte> bytes) {
  Check(mbedtls_sha256_update(&context_->sha256,
                              reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

void Hasher::Update(std::string_view bytes) {
  Update(std::as_bytes(std::span(bytes)));
}

// State and count as numbers, most significant byte first, then the bytes that wait for their
// block.
std::string Hasher::Save() const {
  const mbedtls_sha256_context& from = context_->sha256;
  std::string saved;
  for (uint32_t word : from.state) {
    for (int shift = 24; shift >= 0; shift -= 8)
      saved.push_back(static_cast<char>(word >> shift));
  }
  for (int shift = 56; shift >= 0; shift -= 8)
    saved.push_back(static_cast<char>(from.bytes >> shift));
  return saved.append(reinterpret_cast<const char*>(from.block), from.bytes % kBlockBytes);
}

Result<Hasher> Hasher::Restore(std::string_view saved) {
  Hasher hasher;
  mbedtls_sha256_context& to = hasher.context_->sha256;
  size_t at = 0;
  auto number = [&](size_t size) {
    uint64_t value = 0;
    for (; size > 0 && at < saved.size(); --size)
      value = value << 8 | static_cast<uint8_t>(saved[at++]);
    return value;
  };
  for (uint32_t& word : to.state)
    word = static_cast<uint32_t>(number(sizeof word));
  to.bytes = number(sizeof to.bytes);
  if (saved.size() != sizeof to.state + sizeof to.bytes + to.bytes % kBlockBytes)
    return Fail(Errc::kCorrupt, "the saved state of a digest is not one");
  std::copy(saved.begin() + static_cast<ptrdiff_t>(at), saved.end(), to.block);
  return hasher;
}

Digest Hasher::Finish() {
  std::array<uint8_t, Digest::kSize> bytes;
  Check(mbedtls_sha256_finish(&context_->sha256, bytes.data()));
  return Digest(bytes);
}

}  // namespace wherry
