#include "store/hashing_source.h"

#include <array>

#include "core/base/text.h"

namespace wherry::store {

HashingSource::HashingSource(ByteSource& inner, Expected expected, Hash hash)
    : inner_(inner),
      expected_(std::move(expected)),
      hashes_(expected_.digest.has_value() || hash == Hash::kAlways) {}

HashingSource::HashingSource(ByteSource& inner, Expected expected, Hasher hasher, uint64_t bytes)
    : inner_(inner),
      expected_(std::move(expected)),
      hashes_(true),
      hasher_(std::move(hasher)),
      bytes_(bytes) {}

Result<size_t> HashingSource::Read(std::span<std::byte> out) {
  if (state_ == State::kVerified) {
    return 0;
  }
  auto count = inner_.Read(out);
  if (!count) {
    state_ = State::kFailed;
    return count;
  }
  SaveState();
  if (*count == 0) {
    auto verified = VerifyEnd();
    state_ = verified ? State::kVerified : State::kFailed;
    TRY(std::move(verified));
    return 0;
  }
  if (expected_.size && bytes_ + *count > *expected_.size) {
    state_ = State::kFailed;
    return Mismatch(
        Cat(expected_.what, " is longer than the ", *expected_.size, " bytes announced"));
  }
  Count(out.first(*count));
  return count;
}

void HashingSource::SaveState() {
  if (keeps_states_)
    saved_ = {bytes_, hasher_.Save()};
}

void HashingSource::Count(std::span<const std::byte> bytes) {
  while (prefixes_ != nullptr) {
    auto prefix = prefixes_->NextPrefix();
    if (!prefix || *prefix > bytes_ + bytes.size())
      break;
    auto part = bytes.first(static_cast<size_t>(*prefix - bytes_));
    hasher_.Update(part);
    bytes_ += part.size();
    bytes = bytes.subspan(part.size());
    prefixes_->OnPrefix(Hasher::Restore(hasher_.Save())->Finish());
  }
  bytes_ += bytes.size();
  if (hashes_)
    hasher_.Update(bytes);
}

std::unexpected<Error> HashingSource::Mismatch(std::string what) {
  mismatch_ = what;
  return Fail(Errc::kCorrupt, std::move(what));
}

Result<> HashingSource::VerifyEnd() {
  if (expected_.size && bytes_ != *expected_.size) {
    return Mismatch(
        Cat(expected_.what, " ended after ", bytes_, " of ", *expected_.size, " bytes"));
  }
  if (!hashes_) {
    return {};
  }
  actual_ = hasher_.Finish();
  if (expected_.digest && actual_ != *expected_.digest) {
    return Mismatch(Cat(expected_.what, " does not match its digest: expected ",
                        expected_.digest->string(), ", got ", actual_.string()));
  }
  return {};
}

Result<> HashingSource::Drain(uint64_t limit) {
  std::array<std::byte, 16384> buffer;
  uint64_t end = bytes_ + limit;
  while (TRY(Read(buffer)) > 0) {
    if (bytes_ > end) {
      return Fail(Errc::kInvalid, Cat(expected_.what, " goes on after its end"));
    }
  }
  return {};
}

}  // namespace wherry::store
