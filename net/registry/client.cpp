#include "net/registry/client.h"

#include <sys/random.h>
#include <time.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"
#include "net/registry/endpoint.h"

namespace wherry::registry {

namespace {

constexpr std::chrono::milliseconds kFirstBackoff{250};
constexpr std::chrono::milliseconds kLongestBackoff{15'000};
constexpr std::chrono::milliseconds kLongestRetryAfter{60'000};
constexpr std::chrono::milliseconds kNap{100};
constexpr int kConnectAttempts = 2;

constexpr std::string_view kAccept =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

constexpr int kRetried[] = {408, 429, 500, 502, 503, 504};

bool IsRetriedStatus(int status) { return std::find(std::begin(kRetried), std::end(kRetried), status) != std::end(kRetried); }

bool IsRetriedError(const Error& error) {
  return error.code() == Errc::kUnavailable || error.code() == Errc::kTimeout;
}

}  // namespace

struct Client::Endpoint {
  EndpointPlan plan;
  size_t protocol = 0;      // index into plan.base_urls
  bool protocol_known = false;
  std::unique_ptr<Authenticator> authenticator;

  const std::string& base() const { return plan.base_urls[protocol]; }
  std::string_view host() const { return std::string_view(base()).substr(base().find("://") + 3); }
};

// One blob over as many connections as it takes.
class BlobStream final : public ByteSource {
 public:
  BlobStream(Client* client, const oci::Descriptor& descriptor)
      : client_(client), descriptor_(descriptor),
        path_(Cat("/v2/", client->reference_.repository, "/blobs/", descriptor.digest.string())) {}

  Result<> Open() {
    auto transfer = TRY(client_->Send({path_, {}, offset_, "blob"}));
    skip_ = transfer->status() == 206 ? 0 : offset_;
    transfer_ = std::move(transfer);
    return {};
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    for (;;) {
      auto count = ReadConnection(out);
      if (count && (*count > 0 || offset_ == descriptor_.size)) return count;
      Error error = count ? Error(Errc::kUnavailable, Cat("blob ", descriptor_.digest.string(), " ended after ", offset_,
                                                          " of ", descriptor_.size, " bytes"))
                          : std::move(count).error();
      if (!IsRetriedError(error)) return std::unexpected(std::move(error));
      TRY(Reconnect(std::move(error)));
    }
  }

 private:
  Result<size_t> ReadConnection(std::span<std::byte> out) {
    while (skip_ > 0) {
      size_t count = TRY(transfer_->Read(out.first(std::min<uint64_t>(out.size(), skip_))));
      if (count == 0) return Fail(Errc::kUnavailable, "the connection ended early");
      skip_ -= count;
    }
    size_t count = TRY(transfer_->Read(out));
    if (count > descriptor_.size - offset_) {
      return Fail(Errc::kCorrupt, Cat("blob ", descriptor_.digest.string(), " is larger than the ", descriptor_.size,
                                      " bytes its manifest states"));
    }
    offset_ += count;
    if (count > 0) attempts_ = 0;
    return count;
  }

  Result<> Reconnect(Error cause) {
    transfer_.reset();
    while (attempts_ < client_->options_.retries) {
      TRY(client_->Sleep(client_->Backoff(attempts_++, {})));
      auto opened = Open();
      if (opened) return {};
      if (!IsRetriedError(opened.error())) return opened;
      cause = std::move(opened).error();
    }
    return std::unexpected(std::move(cause));
  }

  Client* client_;
  oci::Descriptor descriptor_;
  std::string path_;
  std::unique_ptr<http::CurlTransfer> transfer_;
  uint64_t offset_ = 0;  // bytes handed out
  uint64_t skip_ = 0;    // bytes of this connection that are known already
  int attempts_ = 0;     // since the last byte
};

Client::Client(const Options& options, Reference reference, Credentials credentials, const std::atomic<bool>* cancelled)
    : options_(options), reference_(std::move(reference)), cancelled_(cancelled) {
  if (!reference_.repository.empty()) scope_ = Cat("repository:", reference_.repository, ":pull");
  session_ = http::CurlSession::Create(
      {options_.connect_timeout, options_.stall_timeout, options_.user_agent, cancelled_});
  for (EndpointPlan& plan : PlanEndpoints(options_, reference_.registry)) {
    auto endpoint = std::make_unique<Endpoint>();
    // Credentials are for the registry they were given for, never for a mirror.
    endpoint->authenticator = std::make_unique<Authenticator>(session_.get(), plan.tls,
                                                              plan.mirror ? Credentials() : credentials);
    endpoint->plan = std::move(plan);
    endpoints_.push_back(std::move(endpoint));
  }
}

Client::~Client() = default;

Result<> Client::Sleep(std::chrono::milliseconds time) const {
  for (; time.count() > 0; time -= kNap) {
    if (cancelled_ != nullptr && cancelled_->load()) return Fail(Errc::kCancelled, "the pull was cancelled");
    auto nap = std::min(time, kNap);
    timespec pause{0, static_cast<long>(nap.count() * 1'000'000)};
    (void)nanosleep(&pause, nullptr);
  }
  return {};
}

// Doubles from a quarter of a second, with a random quarter on top so that a fleet does not come back in step.
std::chrono::milliseconds Client::Backoff(int attempt, std::string_view retry_after) const {
  if (auto seconds = ParseUint(retry_after); seconds && *seconds > 0) {
    return std::min<std::chrono::milliseconds>(std::chrono::seconds(std::min<uint64_t>(*seconds, 3600)), kLongestRetryAfter);
  }
  auto pause = std::min(kFirstBackoff * (1 << std::min(attempt, 10)), kLongestBackoff);
  uint8_t random = 0;
  if (getrandom(&random, sizeof random, 0) < 0) random = 0;
  return pause + pause * random / 1024;
}

Error Client::StatusError(const Endpoint& endpoint, int status, const Ask& ask, std::string_view retry_after) const {
  std::string name = reference_.repository.empty() ? std::string(endpoint.host()) : reference_.Familiar();
  std::string host = reference_.registry;
  switch (status) {
    case 401:
      if (endpoint.authenticator->has_credentials()) {
        return Error(Errc::kUnauthorized, Cat("registry ", host, " refuses these credentials for ", name,
                                              ": wrong user name or password; run `wherry login ", host, "`"));
      }
      return Error(Errc::kUnauthorized, Cat("pull access denied for ", name, ": registry ", host,
                                            " wants a login; run `wherry login ", host, "`"));
    case 403:
      return Error(Errc::kDenied, Cat("pull access denied for ", name, ": this login may not read it; log in as another "
                                      "user with `wherry login ", host, "`"));
    case 404:
      return Error(Errc::kNotFound, Cat(ask.what, " unknown: ", name, " is not in registry ", host,
                                        "; check the name and the tag"));
    case 429:
      return Error(Errc::kUnavailable, Cat("registry ", host, " allows no more requests for now (429",
                                           retry_after.empty() ? "" : ", retry after ", retry_after,
                                           retry_after.empty() ? "" : " seconds", "); try again later or log in"));
    default:
      return Error(status >= 500 || status == 408 ? Errc::kUnavailable : Errc::kInvalid,
                   Cat("registry ", host, " answered with status ", status, " to the request for the ", ask.what, " of ",
                       name, status >= 500 ? "; it has a problem of its own, try again later" : ""));
  }
}

// One request, with the answer to one authentication challenge.
Result<std::unique_ptr<http::CurlTransfer>> Client::SendOnce(Endpoint& endpoint, const Ask& ask) {
  for (int round = 0;; ++round) {
    http::CurlRequest request;
    request.url = Cat(endpoint.base(), ask.path);
    request.headers = ask.headers;
    request.range_start = ask.range_start;
    request.tls = endpoint.plan.tls;
    std::string authorization = endpoint.authenticator->Header(scope_);
    if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
    auto transfer = TRY(session_->Start(request));
    if (transfer->status() != 401 || round == 2) return transfer;
    auto answered = endpoint.authenticator->Answer(transfer->header("WWW-Authenticate"), scope_, endpoint.base());
    if (!answered && answered.error().code() == Errc::kUnauthorized) return transfer;
    if (!answered) return std::unexpected(std::move(answered).error());
  }
}

// The first request to an endpoint finds out which protocol it speaks.
Result<std::unique_ptr<http::CurlTransfer>> Client::SendTo(Endpoint& endpoint, const Ask& ask) {
  for (;;) {
    auto transfer = SendOnce(endpoint, ask);
    bool more = !endpoint.protocol_known && endpoint.protocol + 1 < endpoint.plan.base_urls.size();
    bool refused = !transfer && transfer.error().code() != Errc::kCancelled;
    if (refused && more) {
      ++endpoint.protocol;
      continue;
    }
    endpoint.protocol_known |= transfer.has_value();
    return transfer;
  }
}

// With retries for what passes: 429, 5xx, lost connections.
Result<std::unique_ptr<http::CurlTransfer>> Client::SendPatiently(Endpoint& endpoint, const Ask& ask) {
  for (int attempt = 0;; ++attempt) {
    auto transfer = SendTo(endpoint, ask);
    std::string retry_after;
    if (transfer) {
      int status = (*transfer)->status();
      if (status == 200 || status == 206) return transfer;
      retry_after = (*transfer)->header("Retry-After");
      Error error = StatusError(endpoint, status, ask, retry_after);
      if (!IsRetriedStatus(status) || attempt >= options_.retries) return std::unexpected(std::move(error));
    } else if (!IsRetriedError(transfer.error()) || attempt >= options_.retries || endpoint.plan.mirror) {
      return transfer;
    } else if (!endpoint.protocol_known && attempt >= kConnectAttempts) {
      return transfer;  // never reached yet: the user waits for this answer
    }
    TRY(Sleep(Backoff(attempt, retry_after)));
  }
}

Result<std::unique_ptr<http::CurlTransfer>> Client::Send(const Ask& ask) {
  for (auto& endpoint : endpoints_) {
    auto transfer = SendPatiently(*endpoint, ask);
    bool last = endpoint == endpoints_.back();
    if (transfer || last || transfer.error().code() == Errc::kCancelled) return transfer;
  }
  return Fail(Errc::kInternal, "no endpoint for the registry");
}

Result<FetchedManifest> Client::FetchManifest(const std::string& tag_or_digest) {
  Ask ask{Cat("/v2/", reference_.repository, "/manifests/", tag_or_digest), {{"Accept", std::string(kAccept)}}, 0,
          "manifest"};
  auto transfer = TRY(Send(ask));
  FetchedManifest manifest;
  manifest.bytes = TRY_CTX(Cat("manifest of ", reference_.Familiar()), transfer->ReadAll(oci::kMaxManifestBytes));
  manifest.media_type = transfer->header("Content-Type");
  manifest.digest = Digest::Of(manifest.bytes);
  return manifest;
}

Result<FetchedManifest> Client::GetManifest() {
  if (reference_.digest) return GetManifest(*reference_.digest);
  return FetchManifest(reference_.tag);
}

Result<FetchedManifest> Client::GetManifest(const Digest& digest) {
  auto manifest = TRY(FetchManifest(digest.string()));
  if (manifest.digest != digest) {
    return Fail(Errc::kCorrupt, Cat("registry ", reference_.registry, " sent a manifest with digest ",
                                    manifest.digest.string(), " in place of ", digest.string()));
  }
  return manifest;
}

Result<std::string> Client::GetBlob(const oci::Descriptor& descriptor) {
  auto stream = TRY(OpenBlob(descriptor));
  std::string bytes;
  std::byte piece[16 << 10];
  for (;;) {
    size_t count = TRY(stream->Read(piece));
    if (count == 0) break;
    bytes.append(static_cast<const char*>(static_cast<const void*>(piece)), count);
  }
  Digest digest = Digest::Of(bytes);
  if (digest != descriptor.digest) {
    return Fail(Errc::kCorrupt, Cat("registry ", reference_.registry, " sent a blob with digest ", digest.string(),
                                    " in place of ", descriptor.digest.string()));
  }
  return bytes;
}

Result<std::unique_ptr<ByteSource>> Client::OpenBlob(const oci::Descriptor& descriptor) {
  auto stream = std::make_unique<BlobStream>(this, descriptor);
  TRY(stream->Open());
  return stream;
}

Result<> Client::CheckLogin() {
  Endpoint& endpoint = *endpoints_.back();
  Ask ask{"/v2/", {}, 0, "version page"};
  TRY(SendPatiently(endpoint, ask));
  return {};
}

}  // namespace wherry::registry
