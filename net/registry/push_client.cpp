#include "net/registry/push_client.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::registry {

namespace {

// The least that registries over S3 take as a part of an upload; so much is held for repetition.
constexpr size_t kChunk = size_t{5} << 20;
constexpr size_t kFirstBuffer = size_t{64} << 10;
constexpr int kFirstContactAttempts = 2;

// The registry has lost the upload, or has other bytes of it than we think. That of the
// distribution project forgets every upload a part of which was cut short.
bool IsForgotten(const Error& error) {
  return error.code() == Errc::kNotFound || error.code() == Errc::kConflict;
}

// How much of an upload is there, by "Range: 0-99" (distribution-spec, "Pushing a blob in chunks").
// "0-0" says nothing: it stands for one byte, and for none.
std::optional<uint64_t> BytesThere(const http::CurlTransfer& transfer) {
  std::string_view range = transfer.header("Range");
  if (range.starts_with("bytes="))
    range.remove_prefix(6);
  auto split = SplitFirst(range, '-');
  if (!split || split->head != "0")
    return std::nullopt;
  auto last = ParseUint(split->tail);
  if (!last || *last == UINT64_MAX)
    return std::nullopt;
  return *last == 0 ? 0 : *last + 1;
}

// Up to kChunk bytes; fewer only at the end.
Result<> Fill(ByteSource& source, std::string& chunk) {
  chunk.clear();
  for (;;) {
    size_t have = chunk.size();
    if (have == kChunk)
      return {};
    chunk.resize(std::min(kChunk, have + kFirstBuffer));
    size_t count = TRY(source.Read(std::as_writable_bytes(std::span(chunk)).subspan(have)));
    chunk.resize(have + count);
    if (count == 0)
      return {};
  }
}

}  // namespace

struct PushClient::Session {
  std::string url;
  uint64_t acknowledged = 0;
};

PushClient::PushClient(const Options& options, Reference reference, Credentials credentials,
                       const std::atomic<bool>* cancelled)
    : options_(options), reference_(std::move(reference)), cancelled_(cancelled) {
  session_ = http::CurlSession::Create(
      {options_.connect_timeout, options_.stall_timeout, options_.user_agent, cancelled_});
  endpoint_ = std::make_unique<Endpoint>(&options_, session_.get(),
                                         PlanEndpoints(options_, reference_.registry).back(),
                                         std::move(credentials), &reference_);
}

Ask PushClient::PushAsk(std::string method, std::string path, std::string_view what) const {
  Ask ask;
  ask.method = std::move(method);
  ask.path = Cat("/v2/", reference_.repository, path);
  ask.scope = Cat("repository:", reference_.repository, ":pull,push");
  ask.what = what;
  ask.pushes = true;
  return ask;
}

Result<std::unique_ptr<http::CurlTransfer>> PushClient::Send(const Ask& ask) {
  Retry retry(options_.retries, cancelled_);
  for (;;) {
    auto transfer = endpoint_->Send(ask);
    if (transfer)
      return transfer;
    if (!endpoint_->reached())
      retry.LimitTo(kFirstContactAttempts);
    TRY(retry.Pause(std::move(transfer).error(), endpoint_->retry_after()));
  }
}

Result<std::optional<uint64_t>> PushClient::FindBlob(const Digest& digest) {
  auto transfer = Send(PushAsk("HEAD", Cat("/blobs/", digest.string()), "blob"));
  if (!transfer && transfer.error().code() == Errc::kNotFound)
    return std::nullopt;
  if (!transfer)
    return std::unexpected(std::move(transfer).error());
  auto size = ParseUint((*transfer)->header("Content-Length"));
  return size ? std::optional<uint64_t>(*size) : std::nullopt;
}

Result<bool> PushClient::Mount(const Digest& digest, const std::string& from_repository) {
  Ask ask = PushAsk("POST",
                    Cat("/blobs/uploads/?mount=", UrlEncode(digest.string()),
                        "&from=", UrlEncode(from_repository)),
                    "blob");
  Append(ask.scope, " repository:", from_repository, ":pull");
  auto transfer = Send(ask);
  if (!transfer) {
    // This login may not read there, or the registry does not know mounts: an upload will tell.
    bool refused =
        transfer.error().code() != Errc::kCancelled && !Retry::IsPassing(transfer.error());
    return refused ? Result<bool>(false) : std::unexpected(std::move(transfer).error());
  }
  if ((*transfer)->status() == 201)
    return true;
  if (auto url = endpoint_->Resolve(std::string((*transfer)->header("Location"))))
    spare_url_ = std::move(*url);
  return false;
}

Result<PushClient::Session> PushClient::Begin() {
  Session session;
  if (!spare_url_.empty()) {
    session.url = std::exchange(spare_url_, {});
    return session;
  }
  auto transfer = TRY(Send(PushAsk("POST", "/blobs/uploads/", "blob")));
  session.url = TRY(endpoint_->Resolve(std::string(transfer->header("Location"))));
  return session;
}

// One attempt.
Result<> PushClient::SendChunk(Session& session, std::string_view bytes) {
  Ask ask = PushAsk("PATCH", "/blobs/uploads/", "blob");
  ask.url = session.url;
  ask.body = bytes;
  ask.headers = {
      {"Content-Type", "application/octet-stream"},
      {"Content-Range", Cat(session.acknowledged, "-", session.acknowledged + bytes.size() - 1)}};
  auto transfer = TRY(endpoint_->Send(ask));
  if (!transfer->header("Location").empty())
    session.url = TRY(endpoint_->Resolve(std::string(transfer->header("Location"))));
  session.acknowledged += bytes.size();
  return {};
}

// After a failure in passing: pauses and asks how far the upload has come; what is there goes from
// `bytes`. False when the upload has to begin anew.
Result<bool> PushClient::Recover(Session& session, std::string_view& bytes, Retry& retry,
                                 Error cause) {
  TRY(retry.Pause(std::move(cause), endpoint_->retry_after()));
  Ask ask = PushAsk("GET", "/blobs/uploads/", "blob");
  ask.url = session.url;
  auto transfer = Send(ask);
  if (!transfer && transfer.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(transfer).error());
  auto there = transfer ? BytesThere(**transfer) : std::nullopt;
  if (!there || *there < session.acknowledged || *there - session.acknowledged > bytes.size())
    return false;
  if (!(*transfer)->header("Location").empty())
    session.url = TRY(endpoint_->Resolve(std::string((*transfer)->header("Location"))));
  if (*there > session.acknowledged)
    retry.Reset();
  bytes.remove_prefix(static_cast<size_t>(*there - session.acknowledged));
  session.acknowledged = *there;
  return true;
}

Result<> PushClient::Finish(Session& session, std::string_view rest, const Digest& digest) {
  Ask ask = PushAsk("PUT", "/blobs/uploads/", "blob");
  ask.url = Cat(session.url, session.url.find('?') == std::string::npos ? '?' : '&',
                "digest=", UrlEncode(digest.string()));
  ask.body = rest;
  ask.headers = {{"Content-Type", "application/octet-stream"}};
  auto done = endpoint_->Send(ask);
  if (done)
    return {};
  if (!Retry::IsPassing(done.error()))
    return std::unexpected(std::move(done).error());
  // It may have been done, and only the answer lost.
  if (TRY(FindBlob(digest)))
    return {};
  return Fail(Errc::kConflict, done.error().message());
}

Result<PushClient::Blob> PushClient::UploadOnce(Session& session, ByteSource& content) {
  Retry retry(options_.retries, cancelled_);
  Hasher hasher;
  Blob blob;
  std::string chunk;
  for (;;) {
    TRY(Fill(content, chunk));
    hasher.Update(chunk);
    bool only = blob.size == 0 && chunk.size() < kChunk;
    blob.size += chunk.size();
    std::string_view left = chunk;
    while (!left.empty() && !only) {
      auto sent = SendChunk(session, left);
      if (sent) {
        left = {};
        retry.Reset();
      } else if (!TRY(Recover(session, left, retry, std::move(sent).error()))) {
        return Fail(Errc::kConflict, Cat("registry ", reference_.registry, " has lost the upload"));
      }
    }
    if (chunk.size() == kChunk)
      continue;
    blob.digest = hasher.Finish();
    TRY(Finish(session, only ? std::string_view(chunk) : std::string_view(), blob.digest));
    return blob;
  }
}

void PushClient::Abandon(const Session& session) {
  if (cancelled_ != nullptr && cancelled_->load())
    return;
  Ask ask = PushAsk("DELETE", "/blobs/uploads/", "blob");
  ask.url = session.url;
  (void)endpoint_->Send(ask);  // registries remove old uploads by themselves
}

Result<PushClient::Blob> PushClient::Upload(OpenContent open) {
  Retry retry(options_.retries, cancelled_);
  for (;;) {
    auto content = TRY(open());
    Session session = TRY(Begin());
    auto blob = UploadOnce(session, *content);
    if (blob)
      return blob;
    Abandon(session);
    if (!IsForgotten(blob.error()))
      return blob;
    TRY(retry.Pause(std::move(blob).error().WithCode(Errc::kUnavailable)));
  }
}

Result<Digest> PushClient::PutManifest(const std::string& tag, std::string_view bytes,
                                       std::string_view media_type) {
  Digest digest = Digest::Of(bytes);
  Ask ask = PushAsk("PUT", Cat("/manifests/", tag), "manifest");
  ask.body = bytes;
  ask.headers = {{"Content-Type", std::string(media_type)}};
  auto transfer = TRY(Send(ask));
  std::string_view theirs = transfer->header("Docker-Content-Digest");
  if (!theirs.empty() && theirs != digest.string()) {
    return Fail(Errc::kCorrupt, Cat("registry ", reference_.registry, " took the manifest ",
                                    digest.string(), " as ", theirs));
  }
  return digest;
}

}  // namespace wherry::registry
