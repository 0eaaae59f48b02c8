// Reads one request after the other from received bytes by llhttp. Collects only: it never calls
// back. Internal to the server.
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "net/http/head_collector.h"
#include "net/http/server.h"

namespace wherry::http {

class RequestReader {
 public:
  explicit RequestReader(size_t max_head_bytes);
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  enum class Step : uint8_t {
    kMore,      // all bytes were used; the message goes on
    kHead,      // the head is complete: request() and the facts below are valid
    kComplete,  // the message is complete; Feed must not be called again
    kError,     // error_status() and error_reason() say why; Feed must not be called again
  };
  struct Progress {
    Step step;
    size_t used;  // bytes at the front that belong to this message
  };
  Progress Feed(std::string_view bytes);

  Request& request() { return request_; }
  // Decoded body bytes since the last call.
  std::string TakeBody() { return std::exchange(body_, {}); }
  size_t body_size() const { return body_.size(); }

  bool started() const { return started_; }  // a byte of a message has been seen
  bool has_body() const;                     // of the complete head: content or chunks follow
  uint64_t announced_length() const {
    return parser_.content_length;
  }  // Content-Length; 0 when absent
  bool http_1_1() const { return parser_.http_major == 1 && parser_.http_minor == 1; }
  bool keep_alive() const { return keep_alive_; }

  int error_status() const { return error_status_; }
  std::string_view error_reason() const { return error_reason_; }

 private:
  static const llhttp_settings_t& Settings();
  static RequestReader& Of(llhttp_t* parser) { return *static_cast<RequestReader*>(parser->data); }
  static int OnHeadersComplete(llhttp_t* parser);
  static int OnMessageComplete(llhttp_t* parser);
  bool ParseTarget();
  int Refuse(int status, std::string_view reason);

  llhttp_t parser_;
  HeadCollector collector_;
  std::string target_;
  std::string body_;
  Request request_;
  bool started_ = false;
  bool keep_alive_ = false;
  bool paused_ = false;
  bool complete_ = false;
  int error_status_ = 0;
  std::string_view error_reason_;
};

}  // namespace wherry::http
