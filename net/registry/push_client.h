// The pushing half of the distribution API (OCI distribution-spec v1.1, "Push"): blobs in chunks
// that survive a lost connection, mounts from other repositories, manifests. One object per push to
// one repository, never by way of a mirror. Used by one thread; blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"
#include "net/registry/endpoint.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"
#include "net/registry/retry.h"

namespace wherry::registry {

class PushClient {
 public:
  // `cancelled` (borrowed, may be null) ends whatever is running with kCancelled within half a
  // second.
  PushClient(const Options& options, Reference reference, Credentials credentials,
             const std::atomic<bool>* cancelled);

  // The size of a blob that the repository has.
  Result<std::optional<uint64_t>> FindBlob(const Digest& digest);
  // Makes a blob of another repository of this registry one of this repository; false when the
  // registry does not do it.
  Result<bool> Mount(const Digest& digest, const std::string& from_repository);

  struct Blob {
    Digest digest;
    uint64_t size = 0;
  };
  // Gives the content from its beginning; called again when an upload has to begin anew. An error
  // of the source ends the upload and leaves nothing.
  using OpenContent = std::move_only_function<Result<std::unique_ptr<ByteSource>>()>;
  // Uploads content whose digest is known only at its end. A connection that is lost costs what was
  // not acknowledged; a registry that has forgotten the upload, all of it.
  Result<Blob> Upload(OpenContent open);

  // Under a tag, or the digest. The digest is that of the bytes; the registry must agree.
  Result<Digest> PutManifest(const std::string& tag, std::string_view bytes,
                             std::string_view media_type);

 private:
  struct Session;
  Ask PushAsk(std::string method, std::string path, std::string_view what) const;
  // One attempt after the other.
  Result<std::unique_ptr<http::CurlTransfer>> Send(const Ask& ask);
  Result<Session> Begin();
  Result<Blob> UploadOnce(Session& session, ByteSource& content);
  Result<> SendChunk(Session& session, std::string_view bytes);
  Result<bool> Recover(Session& session, std::string_view& bytes, Retry& retry, Error cause);
  Result<> Finish(Session& session, std::string_view rest, const Digest& digest);
  void Abandon(const Session& session);

  Options options_;
  Reference reference_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<http::CurlSession> session_;
  std::unique_ptr<Endpoint> endpoint_;
  std::string spare_url_;  // of an upload that a refused mount has begun
};

}  // namespace wherry::registry
