#include "net/registry/blob_stream.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::registry {

namespace {

// The first byte of an answer with status 206 (RFC 9110 section 14.4): "bytes 100-199/200".
Result<uint64_t> RangeStart(const http::CurlTransfer& transfer) {
  std::string_view range = transfer.header("Content-Range");
  constexpr std::string_view kUnit = "bytes ";
  if (range.starts_with(kUnit)) {
    auto start = ParseUint(range.substr(kUnit.size(), range.find('-') - kUnit.size()));
    if (start)
      return start;
  }
  return Fail(Errc::kInvalid, Cat("the registry answered a request for a part with the range '",
                                  range.substr(0, 100), "'"));
}

}  // namespace

BlobStream::BlobStream(Client* client, const oci::Descriptor& descriptor, uint64_t offset,
                       uint64_t end)
    : client_(client),
      descriptor_(descriptor),
      ask_(client->PullAsk("blobs", descriptor.digest.string(), "blob")),
      retry_(client->MakeRetry()),
      offset_(offset),
      end_(end) {}

Result<> BlobStream::Open() {
  if (offset_ > 0 && offset_ == end_)
    return {};  // nothing left to ask for
  ask_.range_start = offset_;
  ask_.range_end = end_ < descriptor_.size ? end_ : 0;
  auto transfer = TRY(client_->Send(ask_));
  uint64_t start = 0;
  if (transfer->status() == 206) {
    start = TRY(RangeStart(*transfer));
  } else if (ask_.range_end > 0 && !begun_) {
    whole_ = true;
    offset_ = 0;
    end_ = descriptor_.size;
  }
  begun_ = true;
  if (ask_.range_end > 0 && transfer->status() == 206 && start != offset_)
    return Fail(Errc::kInvalid, Cat("the registry answered a request for a part of blob ",
                                    descriptor_.digest.string(), " with another one"));
  if (start > offset_)
    return Fail(Errc::kInvalid,
                Cat("the registry left out bytes of blob ", descriptor_.digest.string()));
  skip_ = offset_ - start;
  transfer_ = std::move(transfer);
  return {};
}

Error BlobStream::TooLarge() const {
  if (end_ < descriptor_.size) {
    return Error(Errc::kCorrupt, Cat("the registry sent more of blob ", descriptor_.digest.string(),
                                     " than it was asked for"));
  }
  return Error(Errc::kCorrupt, Cat("blob ", descriptor_.digest.string(), " is longer than the ",
                                   descriptor_.size, " bytes its manifest states"));
}

Result<> BlobStream::SkipKnown(std::span<std::byte> scratch) {
  while (skip_ > 0) {
    size_t count = TRY(transfer_->Read(
        scratch.first(static_cast<size_t>(std::min<uint64_t>(scratch.size(), skip_)))));
    if (count == 0) {
      return Fail(Errc::kUnavailable,
                  Cat("blob ", descriptor_.digest.string(), " ended before byte ", offset_, " of ",
                      descriptor_.size));
    }
    skip_ -= count;
  }
  return {};
}

Result<size_t> BlobStream::ReadConnection(std::span<std::byte> out) {
  TRY(SkipKnown(out));
  size_t count = TRY(transfer_->Read(out));
  if (count > end_ - offset_)
    return std::unexpected(TooLarge());
  if (count == 0 && offset_ < end_) {
    return Fail(Errc::kUnavailable, Cat("blob ", descriptor_.digest.string(), " ended after ",
                                        offset_, " of ", end_, " bytes"));
  }
  offset_ += count;
  if (count > 0)
    retry_.Reset();
  return count;
}

Result<size_t> BlobStream::Read(std::span<std::byte> out) {
  if (transfer_ == nullptr)
    return 0;
  for (;;) {
    auto count = ReadConnection(out);
    if (count)
      return count;
    // Everything is here; that the connection ended badly afterwards does not matter.
    if (offset_ == end_ && Retry::IsPassing(count.error()))
      return 0;
    TRY(Reconnect(std::move(count).error()));
  }
}

Result<> BlobStream::Reconnect(Error cause) {
  transfer_.reset();
  TRY(retry_.Pause(std::move(cause)));
  return Open();
}

}  // namespace wherry::registry
