// /commit and /containers/{name}/changes: what a container has changed.
#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/body_pipe.h"
#include "engine/commit.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

// --- Changes

Result<> WriteChanges(Images& images, const ChangedContainer& container, DownloadPipe& pipe) {
  auto changes = TRY(OpenContainerChanges(images, container));
  std::string_view separator = "[";
  while (changes) {
    auto change = TRY(changes->Next());
    if (!change)
      break;
    JsonWriter json;
    json.Object().Field("Path", Cat("/", change->path));
    json.Field("Kind", static_cast<int>(change->kind)).End();
    TRY(pipe.Write(Cat(separator, json.text())));
    separator = ",";
  }
  return pipe.Write(separator == "[" ? "[]\n" : "]\n");
}

void Changes(const Services& services, Call call) {
  auto found = services.containers->Find(call.name);
  if (!found)
    return ReplyError(*call.exchange, found.error());
  ContainerPtr container = *found;
  services.containers->Lock(container, [services, container, exchange = call.exchange] {
    auto pipe = std::make_shared<DownloadPipe>(services.loop, exchange, "application/json");
    pipe->Begin();
    services.archives->Run([services, container, pipe, changed = ChangesOf(*container)] {
      auto result = std::make_shared<Result<>>(WriteChanges(*services.images, changed, *pipe));
      services.loop->Post([services, container, pipe, result] {
        services.containers->Unlock(container);
        pipe->Finish(*result);
      });
    });
  });
}

// --- Commit

class Commit : public std::enable_shared_from_this<Commit> {
 public:
  Commit(const Services& services, http::ExchangePtr exchange, ContainerPtr container,
         CommitRequest request)
      : services_(services),
        exchange_(std::move(exchange)),
        container_(std::move(container)),
        request_(std::move(request)) {}

  void Begin(bool pause) {
    exchange_->OnClose([cancel = cancel_] { cancel->store(true); });
    if (!pause || container_->state != ContainerState::kRunning)
      return Lock();
    services_.containers->Pause(container_, [self = shared_from_this()](Result<> paused) {
      self->paused_ = paused.has_value();
      // It may have ended or been paused by somebody else in between.
      if (!paused && paused.error().code() != Errc::kConflict)
        return ReplyError(*self->exchange_, paused.error());
      self->Lock();
    });
  }

 private:
  void Lock() {
    services_.containers->Lock(container_, [self = shared_from_this()] { self->Work(); });
  }

  void Work() {
    services_.archives->Run([self = shared_from_this(), changed = ChangesOf(*container_)] {
      auto written = std::make_shared<Result<WrittenImage>>(
          CommitContainer(*self->services_.images, changed, self->request_, self->cancel_));
      self->services_.loop->Post([self, written] { self->Finish(*written); });
    });
  }

  void Finish(const Result<WrittenImage>& written) {
    services_.containers->Unlock(container_);
    if (paused_) {
      services_.containers->Unpause(container_, [name = container_->name](Result<> done) {
        if (!done && done.error().code() != Errc::kConflict)
          LogWarning("container ", name, " stays paused after a commit: ", done.error().message());
      });
    }
    if (!written)
      return ReplyError(*exchange_, written.error());
    services_.containers->Publish(*container_, "commit",
                                  {{"comment", request_.comment},
                                   {"imageID", written->id.string()},
                                   {"imageRef", request_.name ? request_.name->Familiar() : ""}});
    JsonWriter json;
    json.Object().Field("Id", written->id.string()).End();
    ReplyJson(*exchange_, 201, json.Take());
  }

  Services services_;
  http::ExchangePtr exchange_;
  ContainerPtr container_;
  CommitRequest request_;
  CancelFlag cancel_ = std::make_shared<std::atomic<bool>>(false);
  bool paused_ = false;
};

Result<CommitRequest> ReadCommit(const http::Request& request) {
  CommitRequest commit;
  auto body = TRY(JsonBody(request));
  if (body.root().size() > 0) {
    return Fail(Errc::kUnsupported,
                "a configuration in the body of commit is not supported; use 'changes'");
  }
  commit.comment = request.param("comment");
  commit.author = request.param("author");
  auto [first, last] = request.query.equal_range("changes");
  for (auto change = first; change != last; ++change)
    commit.changes.push_back(change->second);
  std::string_view repository = request.param("repo");
  std::string_view tag = request.param("tag");
  if (!repository.empty()) {
    commit.name = TRY(registry::Reference::Parse(Cat(repository, tag.empty() ? "" : ":", tag)));
    if (commit.name->digest)
      return Fail(Errc::kInvalid, "an image cannot be named by a digest; give NAME:TAG");
  }
  return commit;
}

void CommitOne(const Services& services, Call call) {
  auto request = ReadCommit(call.request());
  if (!request)
    return ReplyError(*call.exchange, request.error());
  auto container = services.containers->Find(call.request().param("container"));
  if (!container)
    return ReplyError(*call.exchange, container.error());
  std::make_shared<Commit>(services, call.exchange, *container, std::move(*request))
      ->Begin(call.request().flag("pause", true));
}

constexpr Route kRoutes[] = {
    {"GET", "/containers/{name}/changes", Changes},
    {"POST", "/commit", CommitOne},
};

}  // namespace

std::span<const Route> CommitRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
