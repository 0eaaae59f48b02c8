// The registry client: manifests and blobs by the distribution API (OCI distribution-spec v1.1, "Pull"), over mirrors first.
// One object per pull, used by one thread; blocking. Everything it returns was checked against its digest.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"
#include "net/http/curl_transfer.h"
#include "net/registry/auth.h"
#include "net/registry/credentials.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"

namespace wherry::registry {

struct FetchedManifest {
  std::string bytes;
  std::string media_type;  // as the registry says it
  Digest digest;           // of the bytes; equal to the reference's digest where that has one
};

class Client {
 public:
  // `cancelled` (borrowed, may be null) ends whatever is running with kCancelled within half a second.
  Client(const Options& options, Reference reference, Credentials credentials, const std::atomic<bool>* cancelled);
  ~Client();

  // By the reference's tag or digest; and one entry of an index. kNotFound, kUnauthorized, kDenied, kUnavailable, kCorrupt
  // (the bytes do not have the digest) name the image and say what to do.
  Result<FetchedManifest> GetManifest();
  Result<FetchedManifest> GetManifest(const Digest& digest);
  // A small blob, whole: the configuration.
  Result<std::string> GetBlob(const oci::Descriptor& descriptor);
  // A layer as a stream of exactly descriptor.size bytes. A lost connection is taken up again at the same byte (Range, or
  // by reading over what is known), as often as there is progress in between. The digest is the reader's to check.
  Result<std::unique_ptr<ByteSource>> OpenBlob(const oci::Descriptor& descriptor);

  // GET /v2/ of the registry itself: are the credentials right?
  Result<> CheckLogin();

 private:
  friend class BlobStream;
  struct Endpoint;
  struct Ask {
    std::string path;                   // below the base URL, "/v2/library/nginx/manifests/1"
    std::vector<http::Header> headers;
    uint64_t range_start = 0;
    std::string_view what;              // for errors: "manifest", "blob"
  };

  Result<FetchedManifest> FetchManifest(const std::string& tag_or_digest);
  // The endpoints in order until one gives what is asked for.
  Result<std::unique_ptr<http::CurlTransfer>> Send(const Ask& ask);
  Result<std::unique_ptr<http::CurlTransfer>> SendPatiently(Endpoint& endpoint, const Ask& ask);
  Result<std::unique_ptr<http::CurlTransfer>> SendTo(Endpoint& endpoint, const Ask& ask);
  Result<std::unique_ptr<http::CurlTransfer>> SendOnce(Endpoint& endpoint, const Ask& ask);
  Error StatusError(const Endpoint& endpoint, int status, const Ask& ask, std::string_view retry_after) const;
  Result<> Sleep(std::chrono::milliseconds time) const;
  std::chrono::milliseconds Backoff(int attempt, std::string_view retry_after) const;

  Options options_;
  Reference reference_;
  std::string scope_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<http::CurlSession> session_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;  // mirrors first, the registry last
};

}  // namespace wherry::registry
