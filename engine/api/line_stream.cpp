#include "engine/api/line_stream.h"

#include "core/base/text.h"

namespace wherry::engine::api {

namespace {

// A 401 would make docker's CLI ask for a password of Docker's own registry.
Error HttpError(const Error& error) {
  return error.code() == Errc::kUnauthorized ? error.Clone().WithCode(Errc::kDenied)
                                             : RegistryError(error);
}

}  // namespace

void LineStream::Begin() {
  exchange_->OnClose([cancel = cancel_] { cancel->store(true); });
}

bool LineStream::Report(std::string_view line) {
  if (cancel_->load())
    return false;
  std::lock_guard lock(mutex_);
  lines_ += line;
  if (!flush_posted_) {
    flush_posted_ = true;
    loop_->Post([self = shared_from_this()] { self->Flush(); });
  }
  return true;
}

void LineStream::Finish(const Error* error) {
  Flush();
  if (error != nullptr && !started_)
    return ReplyError(*exchange_, HttpError(*error));
  if (error != nullptr) {
    JsonWriter json;
    json.Object().Key("errorDetail").Object().Field("message", error->message()).End();
    json.Field("error", error->message()).End();
    exchange_->Write(Cat(json.text(), "\r\n"));
  }
  if (!started_)
    Start();
  exchange_->End();
}

void LineStream::Start() {
  started_ = true;
  exchange_->StartStream(200, {{"Content-Type", "application/json"}});
}

void LineStream::Flush() {
  std::string lines;
  {
    std::lock_guard lock(mutex_);
    lines.swap(lines_);
    flush_posted_ = false;
  }
  if (lines.empty())
    return;
  if (!started_)
    Start();
  exchange_->Write(lines);
}

}  // namespace wherry::engine::api
