#include "net/registry/endpoint.h"

#include <algorithm>

#include "core/base/text.h"
#include "net/registry/refusal.h"
#include "net/registry/retry.h"

namespace wherry::registry {

namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kHubHost = "registry-1.docker.io";
constexpr size_t kMaxErrorBody = 16 << 10;
constexpr int kAuthRounds = 2;

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

Result<Transport::Answer> Endpoint::SendAuthenticated(const std::string& base_url, const Ask& ask) {
  std::string url = ask.url.empty() ? Cat(base_url, ask.path) : ask.url;
  Transport::Request request{ask.method,      url,          ask.headers, {}, ask.body,
                             ask.range_start, ask.range_end};
  // An upload may go on at another host; that one knows by the address who may.
  bool foreign = TRY(http::OriginOf(url)) != TRY(http::OriginOf(base_url));
  if (!ask.accept.empty())
    request.headers.push_back({"Accept", std::string(ask.accept)});
  for (int round = 0;; ++round) {
    if (!foreign)
      request.authorization = authenticator_.Header(ask.scope);
    auto answer = TRY(transport_.Start(request));
    answer.elsewhere |= foreign;
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
  if (status == 200 || status == 206 || (ask.pushes && status > 200 && status < 206))
    return std::move(answer->transfer);
  retry_after_ = answer->transfer->retry_after();
  return std::unexpected(StatusError(*answer, ask, *reference_, authenticator_.has_credentials()));
}

Result<std::string> Endpoint::Resolve(const std::string& location) const {
  const std::string& base = plan_.base_urls[protocol_];
  std::string url =
      TRY_CTX(Cat("registry ", reference_->registry), http::ResolveUrl(base, location));
  if (base.starts_with("https:") && !url.starts_with("https:")) {
    return Fail(Errc::kDenied,
                Cat("registry ", reference_->registry, " leads from https to plain http at ", url,
                    ", which is refused; ask its administrator"));
  }
  return url;
}

}  // namespace wherry::registry
