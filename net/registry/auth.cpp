#include "net/registry/auth.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::registry {

namespace {

constexpr size_t kMaxTokenAnswer = 256 << 10;
constexpr std::chrono::seconds kDefaultLife{60};
constexpr std::chrono::seconds kLongestLife{24 * 3600};
constexpr std::chrono::seconds kMargin{5};
constexpr std::chrono::seconds kShortestLife{10};

// Reads `scheme key=value, key="quoted value", scheme ...`. White space around '=' is allowed for
// (RFC 9110 section 11.2); what cannot be understood is skipped.
class ChallengeReader {
 public:
  explicit ChallengeReader(std::string_view text) : rest_(text) {}

  std::vector<Challenge> Read() {
    std::vector<Challenge> challenges;
    while (Skip(" ,\t"), !rest_.empty()) {
      std::string_view word = Word();
      if (word.empty()) {
        rest_.remove_prefix(1);
        continue;
      }
      Skip(" \t");
      if (!rest_.starts_with('=')) {
        challenges.push_back({ToLower(word), {}});
        continue;
      }
      rest_.remove_prefix(1);
      Skip(" \t");
      std::string value = Value();
      if (!challenges.empty())
        challenges.back().parameters.emplace(ToLower(word), std::move(value));
    }
    return challenges;
  }

 private:
  void Skip(std::string_view characters) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size()));
  }
  std::string_view Word() {
    size_t end = std::min(rest_.find_first_of(" ,=\t\""), rest_.size());
    std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }
  std::string Value() {
    if (rest_.empty() || rest_[0] != '"')
      return std::string(Word());
    std::string value;
    size_t at = 1;
    for (; at < rest_.size() && rest_[at] != '"'; ++at) {
      if (rest_[at] == '\\' && at + 1 < rest_.size())
        ++at;
      value += rest_[at];
    }
    rest_.remove_prefix(std::min(at + 1, rest_.size()));
    return value;
  }

  std::string_view rest_;
};

std::string Parameter(const Challenge& challenge, std::string_view name) {
  auto found = challenge.parameters.find(std::string(name));
  return found == challenge.parameters.end() ? std::string() : found->second;
}

std::string BasicHeader(const Credentials& credentials) {
  return Cat("Basic ", Base64Encode(Cat(credentials.username, ":", credentials.password)));
}

// Credentials go to a token server over TLS only, unless the registry itself is spoken to in plain
// HTTP.
Result<> CheckRealm(std::string_view realm, std::string_view base_url) {
  if (realm.starts_with("https://"))
    return {};
  if (realm.starts_with("http://") && base_url.starts_with("http://"))
    return {};
  return Fail(Errc::kDenied, Cat("its token server is '", realm,
                                 "', which is not an https address and so is refused"));
}

// `form` holds the body of a POST. A scope may be several, separated by spaces.
Transport::Request TokenRequest(const Credentials& credentials, const Challenge& challenge,
                                std::string_view scope, std::string& form) {
  Transport::Request request;
  request.url = Parameter(challenge, "realm");
  std::string service = UrlEncode(Parameter(challenge, "service"));
  if (!credentials.identity_token.empty()) {
    request.method = "POST";
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    form = Cat("grant_type=refresh_token&client_id=wherry&service=", service,
               "&refresh_token=", UrlEncode(credentials.identity_token));
    if (!scope.empty())
      Append(form, "&scope=", UrlEncode(scope));
    request.body = form;
    return request;
  }
  Append(request.url, request.url.find('?') == std::string::npos ? '?' : '&', "service=", service);
  for (std::string_view one : Split(scope, ' ')) {
    if (!one.empty())
      Append(request.url, "&scope=", UrlEncode(one));
  }
  if (!credentials.username.empty()) {
    Append(request.url, "&account=", UrlEncode(credentials.username));
    request.authorization = BasicHeader(credentials);
  }
  return request;
}

bool IsToken(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view header) {
  return ChallengeReader(header).Read();
}

std::string Authenticator::Header(std::string_view scope) {
  if (basic_)
    return BasicHeader(credentials_);
  if (!credentials_.registry_token.empty())
    return Cat("Bearer ", credentials_.registry_token);
  auto found = tokens_.find(scope);
  if (found == tokens_.end() || found->second.expires <= Uptime())
    return {};
  return Cat("Bearer ", found->second.value);
}

Result<> Authenticator::Answer(std::string_view www_authenticate, std::string_view scope,
                               std::string_view sent, std::string_view base_url) {
  if (auto old = tokens_.find(scope); old != tokens_.end())
    tokens_.erase(old);
  if (!credentials_.registry_token.empty())
    return Fail(Errc::kUnauthorized, "the token was refused");
  for (const Challenge& challenge : ParseChallenges(www_authenticate)) {
    if (challenge.scheme == "bearer")
      return FetchToken(challenge, scope, base_url);
    if (challenge.scheme != "basic" || credentials_.username.empty())
      continue;
    if (sent == BasicHeader(credentials_))
      break;  // refused already
    basic_ = true;
    return {};
  }
  return Fail(Errc::kUnauthorized, "authentication required");
}

Result<> Authenticator::FetchToken(const Challenge& challenge, std::string_view scope,
                                   std::string_view base_url) {
  TRY(CheckRealm(Parameter(challenge, "realm"), base_url));
  std::string wanted = Parameter(challenge, "scope");
  // Of a push the first challenge, to a HEAD, asks for less than what follows will need.
  bool own = wanted.empty() || scope.find(",push") != std::string_view::npos;
  std::string form;
  auto request =
      TokenRequest(credentials_, challenge, own ? scope : std::string_view(wanted), form);
  auto answer = TRY_CTX("token server", transport_->Start(request));
  std::string text = TRY_CTX("token server", answer.transfer->ReadAll(kMaxTokenAnswer));
  int status = answer.transfer->status();
  if (status == 400 || status == 401 || status == 403) {
    return Fail(Errc::kUnauthorized,
                Cat("the token server ", answer.host, " refuses these credentials"));
  }
  if (status != 200) {
    Errc code =
        status == 408 || status == 429 || status >= 500 ? Errc::kUnavailable : Errc::kInvalid;
    return Fail(code, Cat("the token server ", answer.host, " answered with status ", status));
  }
  auto document = TRY(JsonDocument::Parse(text, Cat("answer of the token server ", answer.host)));
  std::string_view token = document["token"].str(document["access_token"].str());
  if (!IsToken(token))
    return Fail(Errc::kInvalid,
                Cat("the answer of the token server ", answer.host, " has no usable token"));
  std::chrono::seconds life{std::clamp(document["expires_in"].integer(kDefaultLife.count()),
                                       kShortestLife.count(), kLongestLife.count())};
  tokens_[std::string(scope)] = {std::string(token), Uptime() + life - kMargin};
  return {};
}

}  // namespace wherry::registry
