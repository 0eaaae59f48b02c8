#include "net/registry/client.h"

#include "core/base/text.h"
#include "net/registry/blob_stream.h"
#include "net/registry/retry.h"

namespace wherry::registry {

namespace {

// Before anything was heard of a host its user waits for the answer: few attempts.
constexpr int kFirstContactAttempts = 2;
constexpr int kFirstContactTimeouts = 1;

constexpr std::string_view kAccept =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

}  // namespace

Client::Client(const Options& options, Reference reference, Credentials credentials,
               const std::atomic<bool>* cancelled)
    : options_(options), reference_(std::move(reference)), cancelled_(cancelled) {
  session_ = http::CurlSession::Create(
      {options_.connect_timeout, options_.stall_timeout, options_.user_agent, cancelled_});
  for (EndpointPlan& plan : PlanEndpoints(options_, reference_.registry)) {
    places_.push_back({std::make_unique<Endpoint>(&options_, session_.get(), std::move(plan),
                                                  credentials, &reference_)});
  }
}

Client::~Client() = default;

Ask Client::PullAsk(std::string_view kind, std::string_view name, std::string_view what) const {
  Ask ask;
  ask.path = Cat("/v2/", reference_.repository, "/", kind, "/", name);
  ask.scope = Cat("repository:", reference_.repository, ":pull");
  ask.what = what;
  return ask;
}

Ask Client::ManifestAsk(std::string_view tag_or_digest) const {
  Ask ask = PullAsk("manifests", tag_or_digest, "manifest");
  ask.accept = kAccept;
  return ask;
}

Retry Client::MakeRetry() const {
  return Retry(options_.retries, cancelled_);
}

Result<std::unique_ptr<http::CurlTransfer>> Client::SendPatiently(Endpoint& endpoint,
                                                                  const Ask& ask) {
  Retry retry = MakeRetry();
  for (;;) {
    auto transfer = endpoint.Send(ask);
    if (transfer || endpoint.mirror())
      return transfer;  // the next place is better than waiting for a mirror
    if (!endpoint.reached()) {
      retry.LimitTo(transfer.error().code() == Errc::kTimeout ? kFirstContactTimeouts
                                                              : kFirstContactAttempts);
    }
    TRY(retry.Pause(std::move(transfer).error(), endpoint.retry_after()));
  }
}

bool Client::MayGoOn(Place& place, const Error& error) const {
  if (!place.endpoint->mirror() || error.code() == Errc::kCancelled)
    return false;
  place.given_up = !place.endpoint->reached();
  return true;
}

Result<std::unique_ptr<http::CurlTransfer>> Client::Send(const Ask& ask) {
  for (Place& place : places_) {
    if (place.given_up)
      continue;
    auto transfer = SendPatiently(*place.endpoint, ask);
    if (transfer || !MayGoOn(place, transfer.error()))
      return transfer;
  }
  return Fail(Errc::kInternal, Cat("no endpoint for registry ", reference_.registry));
}

Result<FetchedManifest> Client::ManifestFrom(Endpoint& endpoint, const Ask& ask,
                                             const std::optional<Digest>& wanted) {
  Retry retry = MakeRetry();
  for (;;) {
    auto transfer = TRY(SendPatiently(endpoint, ask));
    FetchedManifest manifest;
    manifest.media_type = transfer->header("Content-Type");
    auto bytes = transfer->ReadAll(oci::kMaxManifestBytes);
    if (!bytes) {
      TRY_CTX(Cat("manifest of ", reference_.Familiar()), retry.Pause(std::move(bytes).error()));
      continue;
    }
    manifest.bytes = std::move(*bytes);
    manifest.digest = Digest::Of(manifest.bytes);
    if (!wanted || manifest.digest == *wanted)
      return manifest;
    return Fail(Errc::kCorrupt,
                Cat("registry ", reference_.registry, " sent a manifest with digest ",
                    manifest.digest.string(), " in place of ", wanted->string()));
  }
}

Result<FetchedManifest> Client::FetchManifest(const std::string& tag_or_digest,
                                              const std::optional<Digest>& wanted) {
  Ask ask = ManifestAsk(tag_or_digest);
  for (Place& place : places_) {
    if (place.given_up)
      continue;
    auto manifest = ManifestFrom(*place.endpoint, ask, wanted);
    if (manifest)
      served_ = place.endpoint.get();
    if (manifest || !MayGoOn(place, manifest.error()))
      return manifest;
  }
  return Fail(Errc::kInternal, Cat("no endpoint for registry ", reference_.registry));
}

Result<FetchedManifest> Client::GetManifest() {
  return FetchManifest(reference_.TagOrDigest(), reference_.digest);
}

Result<FetchedManifest> Client::GetManifest(const Digest& digest) {
  return FetchManifest(digest.string(), digest);
}

Result<FetchedManifest> Client::GetManifestByTag(const std::string& tag) {
  if (served_ != nullptr)
    return ManifestFrom(*served_, ManifestAsk(tag), std::nullopt);
  return FetchManifest(tag, std::nullopt);
}

Result<FetchedManifest> Client::GetReferrers(const Digest& digest, std::string_view artifact_type) {
  Ask ask = PullAsk("referrers", digest.string(), "list of referrers");
  if (!artifact_type.empty())
    Append(ask.path, "?artifactType=", UrlEncode(artifact_type));
  ask.accept = kAccept;
  if (served_ != nullptr) {
    auto listed = ManifestFrom(*served_, ask, std::nullopt);
    if (listed || listed.error().code() != Errc::kNotFound)
      return listed;
  }
  return GetManifestByTag(Cat("sha256-", digest.hex()));
}

Result<ManifestInfo> Client::HeadManifest() {
  Ask ask = ManifestAsk(reference_.TagOrDigest());
  ask.method = "HEAD";
  auto transfer = TRY(Send(ask));
  ManifestInfo info;
  info.media_type = transfer->header("Content-Type");
  if (auto digest = Digest::Parse(transfer->header("Docker-Content-Digest")))
    info.digest = *digest;
  if (auto size = ParseUint(transfer->header("Content-Length")))
    info.size_bytes = *size;
  return info;
}

Result<std::string> Client::GetBlob(const oci::Descriptor& descriptor) {
  if (descriptor.size > oci::kMaxConfigBytes) {
    return Fail(Errc::kInvalid,
                Cat("blob ", descriptor.digest.string(), " is stated to have ", descriptor.size,
                    " bytes; more than ", oci::kMaxConfigBytes, " are not read into memory"));
  }
  auto stream = TRY(OpenBlob(descriptor));
  std::string bytes(static_cast<size_t>(descriptor.size) + 1,
                    '\0');  // one more: shows what is too long
  size_t have = 0;
  for (;;) {
    size_t count = TRY(stream->Read(std::as_writable_bytes(std::span(bytes)).subspan(have)));
    if (count == 0)
      break;
    have += count;
  }
  bytes.resize(have);
  Digest digest = Digest::Of(bytes);
  if (digest == descriptor.digest)
    return bytes;
  return Fail(Errc::kCorrupt, Cat("registry ", reference_.registry, " sent a blob with digest ",
                                  digest.string(), " in place of ", descriptor.digest.string()));
}

Result<std::unique_ptr<ByteSource>> Client::OpenBlob(const oci::Descriptor& descriptor,
                                                     uint64_t offset) {
  if (offset > descriptor.size)
    return Fail(Errc::kInvalid,
                Cat("blob ", descriptor.digest.string(), ": offset beyond its end"));
  auto stream = std::make_unique<BlobStream>(this, descriptor, offset, descriptor.size);
  TRY(stream->Open());
  return stream;
}

Result<Client::BlobPart> Client::OpenBlobPart(const oci::Descriptor& descriptor, uint64_t offset,
                                              uint64_t size) {
  if (size == 0 || offset > descriptor.size || size > descriptor.size - offset)
    return Fail(Errc::kInvalid,
                Cat("blob ", descriptor.digest.string(), ": it does not have this part"));
  auto stream = std::make_unique<BlobStream>(this, descriptor, offset, offset + size);
  TRY(stream->Open());
  bool whole = stream->whole();
  return BlobPart{std::move(stream), whole};
}

Result<> Client::CheckLogin() {
  Ask ask;
  ask.path = "/v2/";
  TRY(SendPatiently(*places_.back().endpoint, ask));
  return {};
}

}  // namespace wherry::registry
