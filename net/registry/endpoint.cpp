#include "net/registry/endpoint.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "net/registry/retry.h"

namespace wherry::registry {

namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubHost = "registry-1.docker.io";
constexpr std::string_view kBlob = "blob";
constexpr size_t kMaxErrorBody = 16 << 10;
constexpr size_t kMaxQuoted = 200;
constexpr int kAuthRounds = 2;

constexpr int kPassing[] = {408, 429, 500, 502, 503, 504};

bool IsPassing(int status) {
  return std::find(std::begin(kPassing), std::end(kPassing), status) != std::end(kPassing);
}

std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('['))
    return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

// All values of WWW-Authenticate as one list.
std::string Challenges(const http::CurlTransfer& transfer) {
  std::string joined;
  for (const http::Header& header : transfer.headers()) {
    if (EqualsIgnoreCase(header.name, "WWW-Authenticate"))
      Append(joined, joined.empty() ? "" : ", ", header.value);
  }
  return joined;
}

// What the registry itself says about its refusal, fit for a message: one short line, or nothing.
std::string OwnWords(http::CurlTransfer& transfer) {
  std::string body = transfer.ReadSome(kMaxErrorBody);
  auto document = JsonDocument::Parse(body, "error");
  if (!document)
    return {};
  JsonValue error = (*document)["errors"].at(0);
  std::string words(error["message"].str(error["code"].str()).substr(0, kMaxQuoted));
  for (char& c : words) {
    if (c < ' ' || c == 0x7f)
      c = ' ';
  }
  return words.empty() ? words : Cat(" (", words, ")");
}

Error LoginError(const Authenticator& authenticator, const Reference& reference) {
  const std::string& host = reference.registry;
  bool known = authenticator.has_credentials();
  if (reference.repository.empty()) {
    return Error(Errc::kUnauthorized, Cat("registry ", host,
                                          known ? " refuses this user name and password"
                                                : " wants a user name and password"));
  }
  if (!known) {
    return Error(Errc::kUnauthorized,
                 Cat("pull access denied for ", reference.Familiar(),
                     ": it does not exist, or needs a ", "login; run `wherry login ", host, "`"));
  }
  return Error(
      Errc::kUnauthorized,
      Cat("pull access denied for ", reference.Familiar(), ": registry ", host, " refuses the ",
          "user name and password, or they give no access; run `wherry login ", host, "`"));
}

}  // namespace

bool IsLoopback(std::string_view host) {
  std::string_view name = WithoutPort(host);
  if (name == "localhost" || name == "::1")
    return true;
  auto parts = Split(name, '.');
  if (parts.size() != 4 || parts[0] != "127")
    return false;
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    auto number = ParseUint(part);
    return number && *number <= 255;
  });
}

const HostOptions* FindHost(const Options& options, const std::string& host) {
  auto found = options.hosts.find(host);
  return found == options.hosts.end() ? nullptr : &found->second;
}

bool MayBeInsecure(const Options& options, const std::string& host) {
  const HostOptions* own = FindHost(options, host);
  if (own != nullptr && own->insecure)
    return true;
  return IsLoopback(host) && (own == nullptr || own->ca_file.empty());
}

std::string AddressOf(std::string_view registry) {
  return std::string(registry == kHub ? kHubHost : registry);
}

std::vector<EndpointPlan> PlanEndpoints(const Options& options, const std::string& registry) {
  std::vector<EndpointPlan> plans;
  if (const HostOptions* own = FindHost(options, registry)) {
    for (std::string mirror : own->mirrors) {
      while (mirror.ends_with('/'))
        mirror.pop_back();
      auto origin = http::OriginOf(mirror);
      if (origin)
        plans.push_back({origin->authority(), {mirror}, true});
    }
  }
  std::string address = AddressOf(registry);
  EndpointPlan plan{registry, {Cat("https://", address)}, false};
  if (MayBeInsecure(options, registry))
    plan.base_urls.push_back(Cat("http://", address));
  plans.push_back(std::move(plan));
  return plans;
}

Endpoint::Endpoint(const Options* options, http::CurlSession* session, EndpointPlan plan,
                   Credentials credentials, const Reference* reference)
    : plan_(std::move(plan)),
      transport_(options, session, plan_.home),
      // Credentials are for the registry they were given for, never for a mirror.
      authenticator_(&transport_, plan_.mirror ? Credentials() : std::move(credentials)),
      reference_(reference) {}

Error Endpoint::StatusError(const Transport::Answer& answer, const Ask& ask) const {
  int status = answer.transfer->status();
  const std::string& host = reference_->registry;
  std::string name = reference_->repository.empty() ? host : reference_->Familiar();
  if (status == 401 && !answer.elsewhere)
    return LoginError(authenticator_, *reference_);
  std::string words = OwnWords(*answer.transfer);
  switch (status) {
    case 401:
    case 403:
      if (answer.elsewhere) {
        return Error(Errc::kDenied, Cat(answer.host, ", where ", host, " keeps the ", ask.what,
                                        " of ", name, ", denies access with status ", status, words,
                                        "; check this device's clock"));
      }
      return Error(Errc::kDenied, Cat("access denied for ", name, words,
                                      ": this login may not read it; use another one by ",
                                      "`wherry login ", host, "`"));
    case 404:
      if (ask.what.empty())
        return Error(Errc::kNotFound, Cat(host, " is not a registry: it knows no ", ask.path));
      if (ask.what == kBlob) {
        return Error(Errc::kNotFound,
                     Cat("blob unknown: registry ", host, " does not have all parts of ", name,
                         "; push the image again"));
      }
      return Error(Errc::kNotFound, Cat("manifest unknown: ", name, " does not exist in registry ",
                                        host, ", or needs a login; check the name and the tag"));
    case 429: {
      auto seconds = answer.transfer->retry_after().count();
      return Error(
          Errc::kUnavailable,
          Cat("registry ", host, " takes no more requests for now, status 429", words, "; try ",
              "again ", seconds > 0 ? Cat("in ", seconds, " seconds") : std::string("later"),
              authenticator_.has_credentials() ? "" : ", or log in"));
    }
    default:
      return Error(
          IsPassing(status) ? Errc::kUnavailable : Errc::kInvalid,
          Cat("registry ", host, " answered with status ", status, words, " when asked for ",
              ask.what.empty() ? ask.path : Cat("the ", ask.what, " of ", name),
              status >= 500 ? "; it has trouble of its own, try again later" : ""));
  }
}

Result<Transport::Answer> Endpoint::SendAuthenticated(const std::string& base_url, const Ask& ask) {
  Transport::Request request{ask.method, Cat(base_url, ask.path), {},           {},
                             {},         ask.range_start,         ask.range_end};
  if (!ask.accept.empty())
    request.headers.push_back({"Accept", std::string(ask.accept)});
  for (int round = 0;; ++round) {
    request.authorization = authenticator_.Header(ask.scope);
    auto answer = TRY(transport_.Start(request));
    if (answer.transfer->status() != 401 || answer.elsewhere || round == kAuthRounds)
      return answer;
    (void)answer.transfer->ReadSome(kMaxErrorBody);
    auto answered = authenticator_.Answer(Challenges(*answer.transfer), ask.scope,
                                          request.authorization, base_url);
    if (!answered && answered.error().code() == Errc::kUnauthorized)
      return answer;
    if (!answered)
      return std::unexpected(
          std::move(answered).error().Wrap(Cat("registry ", reference_->registry)));
  }
}

Result<std::unique_ptr<http::CurlTransfer>> Endpoint::Send(const Ask& ask) {
  retry_after_ = {};
  auto answer = SendAuthenticated(plan_.base_urls[protocol_], ask);
  // The first request finds out which protocol the other side speaks. When none works the error to
  // tell is that of https, unless plain HTTP came further than failing to connect.
  for (size_t next = 1; !answer && !reached_ && next < plan_.base_urls.size(); ++next) {
    if (answer.error().code() == Errc::kCancelled)
      break;
    auto other = SendAuthenticated(plan_.base_urls[next], ask);
    if (!other && Retry::IsPassing(other.error()))
      continue;
    if (other)
      protocol_ = next;
    answer = std::move(other);
  }
  if (!answer)
    return std::unexpected(std::move(answer).error());
  reached_ = true;
  int status = answer->transfer->status();
  if (status == 200 || status == 206)
    return std::move(answer->transfer);
  retry_after_ = answer->transfer->retry_after();
  return std::unexpected(StatusError(*answer, ask));
}

}  // namespace wherry::registry
