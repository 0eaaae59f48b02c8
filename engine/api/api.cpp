#include "engine/api/api.h"

#include "core/base/text.h"

namespace wherry::engine::api {

int HttpStatus(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return 400;
    case Errc::kUnauthorized:
      return 401;
    case Errc::kDenied:
      return 403;
    case Errc::kNotFound:
      return 404;
    case Errc::kExists:
    case Errc::kConflict:
    case Errc::kBusy:
      return 409;
    case Errc::kNotModified:
      return 304;
    case Errc::kUnsupported:
      return 501;
    case Errc::kUnavailable:
      return 503;
    case Errc::kTimeout:
      return 504;
    case Errc::kNoSpace:
      return 507;
    case Errc::kCorrupt:
    case Errc::kCancelled:
    case Errc::kIo:
    case Errc::kInternal:
      return 500;
  }
  return 500;
}

Error RegistryError(const Error& error) {
  bool unreachable = error.code() == Errc::kUnavailable || error.code() == Errc::kTimeout;
  return unreachable ? error.Clone().WithCode(Errc::kIo) : error.Clone();
}

void ReplyError(http::Exchange& exchange, const Error& error) {
  int status = HttpStatus(error.code());
  if (status == 304)
    return ReplyEmpty(exchange, status);
  JsonWriter json;
  json.Object().Field("message", error.message()).End();
  ReplyJson(exchange, status, json.Take());
}

void ReplyJson(http::Exchange& exchange, int status, std::string json) {
  json += '\n';
  exchange.Reply(status, {{"Content-Type", "application/json"}}, std::move(json));
}

void ReplyEmpty(http::Exchange& exchange, int status) {
  exchange.Reply(status, {}, {});
}

Result<JsonDocument> JsonBody(const http::Request& request) {
  std::string_view body = Trim(request.body);
  return JsonDocument::Parse(body.empty() || body == "null" ? "{}" : body, "request body");
}

}  // namespace wherry::engine::api
