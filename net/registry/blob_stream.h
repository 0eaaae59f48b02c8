// One blob over as many connections as it takes.
#pragma once

#include <memory>
#include <string>

#include "core/base/byte_source.h"
#include "core/oci/image_spec.h"
#include "net/http/curl_transfer.h"
#include "net/registry/client.h"
#include "net/registry/retry.h"

namespace wherry::registry {

class BlobStream final : public ByteSource {
 public:
  // The bytes from `offset` up to `end`.
  BlobStream(Client* client, const oci::Descriptor& descriptor, uint64_t offset, uint64_t end);

  // The first connection.
  Result<> Open();
  Result<size_t> Read(std::span<std::byte> out) override;
  // After Open: a part was asked for, and this is the whole blob.
  bool whole() const { return whole_; }

 private:
  Result<> SkipKnown(std::span<std::byte> scratch);
  Result<size_t> ReadConnection(std::span<std::byte> out);
  Result<> Reconnect(Error cause);
  Error TooLarge() const;

  Client* client_;
  oci::Descriptor descriptor_;
  Ask ask_;
  Retry retry_;
  std::unique_ptr<http::CurlTransfer> transfer_;
  uint64_t offset_;  // of the next byte for the reader
  uint64_t end_;     // of the last one
  bool begun_ = false;
  bool whole_ = false;
  uint64_t skip_ = 0;  // bytes of this connection before that one
};

}  // namespace wherry::registry
