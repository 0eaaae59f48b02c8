#include "net/http/request_reader.h"

#include <utility>

#include "core/base/text.h"

namespace wherry::http {

RequestReader::RequestReader(size_t max_head_bytes) : collector_(max_head_bytes) {
  llhttp_init(&parser_, HTTP_REQUEST, &Settings());
  parser_.data = this;
}

const llhttp_settings_t& RequestReader::Settings() {
  static const llhttp_settings_t settings = [] {
    llhttp_settings_t out;
    llhttp_settings_init(&out);
    out.on_message_begin = [](llhttp_t* p) {
      Of(p).started_ = true;
      return 0;
    };
    out.on_url = [](llhttp_t* p, const char* at, size_t n) {
      Of(p).target_.append(at, n);
      return Of(p).collector_.Count(n) ? 0 : Of(p).Refuse(414, "the request target is too long");
    };
    out.on_header_field = [](llhttp_t* p, const char* at, size_t n) {
      return Of(p).collector_.AddName({at, n}) ? 0 : Of(p).Refuse(431, "the headers are too large");
    };
    out.on_header_value = [](llhttp_t* p, const char* at, size_t n) {
      return Of(p).collector_.AddValue({at, n}) ? 0
                                                : Of(p).Refuse(431, "the headers are too large");
    };
    out.on_body = [](llhttp_t* p, const char* at, size_t n) {
      Of(p).body_.append(at, n);
      return 0;
    };
    out.on_headers_complete = &OnHeadersComplete;
    out.on_message_complete = &OnMessageComplete;
    return out;
  }();
  return settings;
}

int RequestReader::Refuse(int status, std::string_view reason) {
  error_status_ = status;
  error_reason_ = reason;
  return HPE_USER;
}

// "/path?query", also behind "http://host" as proxies write it.
bool RequestReader::ParseTarget() {
  std::string_view target = target_;
  if (target.starts_with("http://")) {
    target.remove_prefix(7);
    size_t slash = target.find('/');
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  auto parts = SplitFirst(target, '?');
  request_.path = parts ? parts->head : target;
  if (!parts) {
    return true;
  }
  for (std::string_view item : Split(parts->tail, '&')) {
    if (item.empty()) {
      continue;
    }
    auto pair = SplitFirst(item, '=').value_or(Pair{item, {}});
    Result<std::string> name = UrlDecode(pair.head, PlusIs::kSpace);
    Result<std::string> value = UrlDecode(pair.tail, PlusIs::kSpace);
    if (!name || !value) {
      return false;
    }
    request_.query.emplace(std::move(*name), std::move(*value));
  }
  return true;
}

int RequestReader::OnHeadersComplete(llhttp_t* parser) {
  RequestReader& reader = Of(parser);
  Request& request = reader.request_;
  request.headers = reader.collector_.Take();
  request.method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_get_method(parser)));
  if (parser->http_major != 1) {
    return reader.Refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  }
  if (request.method == "CONNECT") {
    return reader.Refuse(400, "CONNECT is not supported");
  }
  if (!reader.ParseTarget()) {
    return reader.Refuse(400, "the query has a broken percent escape");
  }
  reader.target_ = {};
  reader.paused_ = true;
  reader.keep_alive_ = llhttp_should_keep_alive(parser) != 0;
  return HPE_PAUSED;
}

int RequestReader::OnMessageComplete(llhttp_t* parser) {
  RequestReader& reader = Of(parser);
  reader.complete_ = true;
  reader.keep_alive_ = llhttp_should_keep_alive(parser) != 0;
  return HPE_PAUSED;
}

bool RequestReader::has_body() const {
  return (parser_.flags & F_CHUNKED) != 0 || parser_.content_length > 0;
}

RequestReader::Progress RequestReader::Feed(std::string_view bytes) {
  if (std::exchange(paused_, false)) {
    llhttp_resume(&parser_);
  }
  llhttp_errno_t error = llhttp_execute(&parser_, bytes.data(), bytes.size());
  if (error == HPE_OK) {
    return {Step::kMore, bytes.size()};
  }
  auto used = static_cast<size_t>(llhttp_get_error_pos(&parser_) - bytes.data());
  if (error == HPE_PAUSED) {
    return {complete_ ? Step::kComplete : Step::kHead, used};
  }
  if (error_status_ == 0) {
    error_status_ = 400;
    const char* reason = llhttp_get_error_reason(&parser_);
    error_reason_ = reason != nullptr && *reason != '\0' ? reason : llhttp_errno_name(error);
  }
  return {Step::kError, used};
}

}  // namespace wherry::http
