// The registry client: manifests and blobs by the distribution API (OCI distribution-spec v1.1,
// "Pull"), over mirrors first. One object per operation on one repository: it holds the caller's
// credentials, the tokens got with them and the connections. Used by one thread; blocking. What it
// returns was checked against its digest, but for streams.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"
#include "net/http/curl_transfer.h"
#include "net/registry/credentials.h"
#include "net/registry/endpoint.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"

namespace wherry::registry {

class Retry;

struct FetchedManifest {
  std::string bytes;
  std::string media_type;  // as the registry says it
  Digest digest;           // of the bytes; equal to the reference's digest where that has one
};

// What a registry tells of a manifest without sending it; unchecked.
struct ManifestInfo {
  std::string media_type;
  Digest digest;  // none when the registry does not tell
  uint64_t size_bytes = 0;
};

class Client {
 public:
  // `cancelled` (borrowed, may be null) ends whatever is running with kCancelled within half a
  // second.
  Client(const Options& options, Reference reference, Credentials credentials,
         const std::atomic<bool>* cancelled);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // By the reference's tag or digest; and one entry of an index. kNotFound, kUnauthorized, kDenied,
  // kUnavailable, kTimeout, kCorrupt (the bytes do not have the digest), kInvalid (larger than 4
  // MiB, or no registry's answer) name the image and say what to do.
  Result<FetchedManifest> GetManifest();
  Result<FetchedManifest> GetManifest(const Digest& digest);
  // By another tag of the repository, from the place that gave the last manifest: what a mirror
  // does not have of an image it serves is not worth a way to the registry.
  Result<FetchedManifest> GetManifestByTag(const std::string& tag);
  // The index of what refers to a manifest: signatures, deltas and the like (distribution-spec 1.1,
  // "Listing Referrers"); from the tag that stands for it where the registry has no such list. A
  // registry may list others than those of `artifact_type`, too, and a long list only in part.
  Result<FetchedManifest> GetReferrers(const Digest& digest, std::string_view artifact_type = {});
  // Is it there, and what is it? For the reference's tag or digest; public registries do not count
  // it as a pull.
  Result<ManifestInfo> HeadManifest();
  // A small blob, whole: the configuration. kInvalid when it is stated larger than 4 MiB.
  Result<std::string> GetBlob(const oci::Descriptor& descriptor);
  // A blob as a stream of exactly descriptor.size bytes, less the first `offset` ones. A lost
  // connection is taken up again at the same byte (Range, or by reading over what is known), as
  // often as there is progress in between. The digest is the reader's to check. The stream must not
  // outlive the client, and no other call may be made while it is being read.
  Result<std::unique_ptr<ByteSource>> OpenBlob(const oci::Descriptor& descriptor,
                                               uint64_t offset = 0);
  // `size` bytes of a blob from `offset` on, or the whole blob where the registry sends that. As
  // OpenBlob otherwise.
  struct BlobPart {
    std::unique_ptr<ByteSource> source;
    bool whole = false;
  };
  Result<BlobPart> OpenBlobPart(const oci::Descriptor& descriptor, uint64_t offset, uint64_t size);

  // GET /v2/ of the registry itself: are the credentials right?
  Result<> CheckLogin();

 private:
  friend class BlobStream;
  struct Place {
    std::unique_ptr<Endpoint> endpoint;
    bool given_up = false;  // a mirror that cannot be reached is not asked again
  };

  Ask PullAsk(std::string_view kind, std::string_view name, std::string_view what) const;
  Ask ManifestAsk(std::string_view tag_or_digest) const;
  Retry MakeRetry() const;
  // One attempt after the other at one endpoint.
  Result<std::unique_ptr<http::CurlTransfer>> SendPatiently(Endpoint& endpoint, const Ask& ask);
  // The endpoints in order until one gives what is asked for.
  Result<std::unique_ptr<http::CurlTransfer>> Send(const Ask& ask);
  Result<FetchedManifest> FetchManifest(const std::string& tag_or_digest,
                                        const std::optional<Digest>& wanted);
  Result<FetchedManifest> ManifestFrom(Endpoint& endpoint, const Ask& ask,
                                       const std::optional<Digest>& wanted);
  // What failed at one place may work at the next.
  bool MayGoOn(Place& place, const Error& error) const;

  Options options_;
  Reference reference_;
  const std::atomic<bool>* cancelled_;
  std::unique_ptr<http::CurlSession> session_;
  std::vector<Place> places_;   // mirrors first, the registry last
  Endpoint* served_ = nullptr;  // the place that gave the last manifest
};

}  // namespace wherry::registry
