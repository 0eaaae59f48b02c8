#include "cli/client.h"

#include <span>

#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr std::string_view kPrefix = "/v1.47";
constexpr size_t kMaxAnswer = 16 << 20;
constexpr size_t kPiece = 64 << 10;

struct StatusRow {
  int status;
  Errc code;
};
// The daemon's statuses back to codes: what the CLI distinguishes.
constexpr StatusRow kStatuses[] = {
    {304, Errc::kNotModified}, {400, Errc::kInvalid},     {401, Errc::kUnauthorized},
    {403, Errc::kDenied},      {404, Errc::kNotFound},    {409, Errc::kConflict},
    {501, Errc::kUnsupported}, {503, Errc::kUnavailable}, {504, Errc::kTimeout},
    {507, Errc::kNoSpace},
};

Errc CodeOf(int status) {
  for (const StatusRow& row : kStatuses) {
    if (row.status == status)
      return row.code;
  }
  return Errc::kInternal;
}

// The daemon's own sentence, or the status when there is none.
Error AnswerError(const http::Response& response, std::string_view body) {
  auto document = JsonDocument::Parse(body.empty() ? "{}" : body, "answer");
  std::string message(document ? (*document)["message"].str() : std::string_view());
  if (message.empty())
    message = Cat("the daemon answered with status ", response.status);
  return Error(CodeOf(response.status), std::move(message));
}

Result<> CheckStatus(http::UnixClient& connection, const http::Response& response) {
  bool refused = response.status >= 400 || response.status == 304;
  if (!refused)
    return {};
  std::string body = TRY(connection.ReadWholeBody(kMaxAnswer));
  return std::unexpected(AnswerError(response, body));
}

Result<http::Response> SendRequest(http::UnixClient& connection, std::string_view method,
                                   const std::string& target, std::string_view body,
                                   std::vector<http::Header> headers) {
  if (!body.empty())
    headers.push_back({"Content-Type", "application/json"});
  auto response = TRY(connection.Request(method, target, headers, body));
  TRY(CheckStatus(connection, response));
  return response;
}

// An error that ends the source is the caller's; one that ends the connection may have an answer.
Result<http::Response> SendBody(http::UnixClient& connection, const std::string& target,
                                ByteSource& body, const std::vector<http::Header>& headers,
                                std::string_view method) {
  TRY(connection.StartRequest(method, target, headers));
  std::string piece(kPiece, '\0');
  for (;;) {
    size_t count = TRY(body.Read(std::as_writable_bytes(std::span(piece))));
    if (count == 0 || !connection.WriteBody(std::string_view(piece).substr(0, count)))
      return connection.FinishRequest();
  }
}

// An answer's body that keeps its connection alive.
class BodySource final : public ByteSource {
 public:
  explicit BodySource(http::UnixClient connection) : connection_(std::move(connection)) {}
  Result<size_t> Read(std::span<std::byte> out) override { return connection_.ReadBody(out); }

 private:
  http::UnixClient connection_;
};

}  // namespace

std::string Target(std::string_view path, const Query& query) {
  std::string target = Cat(kPrefix, path);
  char separator = '?';
  for (const auto& [key, value] : query) {
    if (value.empty())
      continue;
    Append(target, separator, key, "=", UrlEncode(value));
    separator = '&';
  }
  return target;
}

std::string Segment(std::string_view text) {
  return UrlEncode(text);
}

Result<JsonDocument> Client::Json(std::string_view method, const std::string& target,
                                  std::string_view body, const std::vector<http::Header>& headers) {
  auto connection = TRY(http::UnixClient::Connect(socket_));
  TRY(SendRequest(connection, method, target, body, headers));
  std::string text = TRY(connection.ReadWholeBody(kMaxAnswer));
  std::string_view trimmed = Trim(text);
  return JsonDocument::Parse(trimmed.empty() ? "{}" : trimmed, "answer of the daemon");
}

Result<JsonDocument> Client::Get(const std::string& target) {
  return Json("GET", target, {}, {});
}

Result<JsonDocument> Client::Post(const std::string& target, std::string_view body,
                                  const std::vector<http::Header>& headers) {
  return Json("POST", target, body, headers);
}

Result<JsonDocument> Client::Delete(const std::string& target) {
  return Json("DELETE", target, {}, {});
}

Result<std::string> Client::GetText(const std::string& target) {
  auto connection = TRY(http::UnixClient::Connect(socket_));
  TRY(SendRequest(connection, "GET", target, {}, {}));
  return connection.ReadWholeBody(kMaxAnswer);
}

Result<std::unique_ptr<ByteSource>> Client::Open(std::string_view method, const std::string& target,
                                                 std::string_view body,
                                                 const std::vector<http::Header>& headers,
                                                 http::Response* head) {
  auto connection = TRY(http::UnixClient::Connect(socket_));
  auto response = TRY(SendRequest(connection, method, target, body, headers));
  if (head != nullptr)
    *head = std::move(response);
  return std::make_unique<BodySource>(std::move(connection));
}

Result<std::unique_ptr<ByteSource>> Client::Upload(const std::string& target, ByteSource& body,
                                                   const std::vector<http::Header>& headers,
                                                   std::string_view method) {
  auto connection = TRY(http::UnixClient::Connect(socket_));
  auto response = TRY(SendBody(connection, target, body, headers, method));
  TRY(CheckStatus(connection, response));
  return std::make_unique<BodySource>(std::move(connection));
}

Result<Client::Stream> Client::Hijack(const std::string& target, std::string_view body) {
  auto connection = TRY(http::UnixClient::Connect(socket_));
  auto response = TRY(SendRequest(connection, "POST", target, body,
                                  {{"Connection", "Upgrade"}, {"Upgrade", "tcp"}}));
  if (response.status != 101) {
    return Fail(Errc::kInternal,
                Cat("the daemon did not give the connection up (status ", response.status, ")"));
  }
  bool multiplexed = response.header("Content-Type") == "application/vnd.docker.multiplexed-stream";
  auto taken = std::move(connection).Hijack();
  return Stream{std::move(taken.fd), std::move(taken.early), multiplexed};
}

}  // namespace wherry::cli
