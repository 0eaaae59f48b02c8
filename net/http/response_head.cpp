#include "net/http/response_head.h"

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::http {

namespace {

struct Phrase {
  int status;
  std::string_view text;
};

constexpr Phrase kPhrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

std::string_view PhraseOf(int status) {
  for (const Phrase& phrase : kPhrases) {
    if (phrase.status == status) {
      return phrase.text;
    }
  }
  return "Status";
}

}  // namespace

bool StatusHasBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

void AppendHeader(std::string& head, std::string_view name, std::string_view value) {
  Append(head, name, ": ");
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    head += byte < 0x20 || byte == 0x7f ? ' ' : c;
  }
  head += "\r\n";
}

std::string ResponseHead(int status, const std::vector<Header>& headers) {
  std::string head = Cat("HTTP/1.1 ", status, " ", PhraseOf(status), "\r\n");
  for (const Header& header : headers) {
    AppendHeader(head, header.name, header.value);
  }
  return head;
}

std::string ErrorResponse(int status, const std::vector<Header>& common, std::string_view reason) {
  std::string body = JsonWriter().Object().Field("message", reason).End().Take();
  std::string out = ResponseHead(status, common);
  AppendHeader(out, "Content-Type", "application/json");
  AppendHeader(out, "Content-Length", Cat(body.size()));
  AppendHeader(out, "Connection", "close");
  return Cat(out, "\r\n", body);
}

}  // namespace wherry::http
