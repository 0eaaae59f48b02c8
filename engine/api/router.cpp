#include "engine/api/router.h"

#include "core/base/text.h"

namespace wherry::engine::api {

namespace {

constexpr std::string_view kParameter = "{name}";

// Docker's clustering paths: this engine is never a swarm manager, and says so in Docker's words.
constexpr std::string_view kSwarmPaths[] = {"/swarm", "/nodes",   "/services",
                                            "/tasks", "/secrets", "/configs"};

bool IsSwarmPath(std::string_view path) {
  for (std::string_view prefix : kSwarmPaths) {
    if (path == prefix || (path.starts_with(prefix) && path[prefix.size()] == '/'))
      return true;
  }
  return false;
}

void ReplySwarm(http::Exchange& exchange, std::string_view path) {
  bool joins = path == "/swarm/init" || path == "/swarm/join";
  ReplyError(
      exchange,
      joins ? Error(Errc::kUnsupported, "swarm mode is not supported by wherry")
            : Error(Errc::kUnavailable,
                    "This node is not a swarm manager. Swarm mode is not supported by wherry."));
}

std::string_view WithoutSlash(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/'))
    path.remove_suffix(1);
  return path;
}

const Route* FindRoute(std::string_view method, std::string_view path, std::string_view& name) {
  const std::span<const Route> tables[] = {
      ContainerRoutes(), ArchiveRoutes(),  BuildRoutes(), CommitRoutes(),
      ExecRoutes(),      FileRoutes(),     ImageRoutes(), MetricsRoutes(),
      NetworkRoutes(),   ResourceRoutes(), StoreRoutes(), SystemRoutes(),
      TransferRoutes(),  UpdateRoutes(),   UsageRoutes(), VolumeRoutes()};
  std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
  for (auto table : tables) {
    for (const Route& route : table) {
      if (route.method != wanted)
        continue;
      if (auto match = MatchPattern(route.pattern, path)) {
        name = *match;
        return &route;
      }
    }
  }
  return nullptr;
}

// What a client by HTTPS is told that may not call a route.
Result<> CheckAccess(Role role, const Route& route, std::string_view method,
                     const std::string& certificate_name) {
  if (role == Role::kAdmin || (role == Role::kReader && ReaderMay(route)))
    return {};
  if (role == Role::kNone) {
    return Fail(Errc::kDenied, Cat("the certificate '", certificate_name,
                                   "' has no role: name it in `admins` or `readers` of [https]"));
  }
  return Fail(Errc::kDenied,
              Cat("the certificate '", certificate_name, "' has the role reader, which may not ",
                  method, " ", route.pattern, "; that needs the role admin, `admins` of [https]"));
}

}  // namespace

bool ReaderMay(const Route& route) {
  return route.method == "GET" && route.access == Access::kByMethod;
}

std::vector<http::Header> CommonHeaders() {
  return {{"Api-Version", std::string(kApiVersion)},
          {"Docker-Experimental", "false"},
          {"Ostype", "linux"},
          {"Server", Cat("Docker/wherry-", WHERRY_VERSION, " (linux)")}};
}

Result<VersionedPath> SplitVersion(std::string_view path) {
  VersionedPath whole{147, path};
  if (!path.starts_with("/v"))
    return whole;
  size_t slash = path.find('/', 1);
  if (slash == std::string_view::npos)
    return whole;
  auto parts = SplitFirst(path.substr(2, slash - 2), '.');
  if (!parts)
    return whole;
  auto major = ParseUint(parts->head);
  auto minor = ParseUint(parts->tail);
  if (!major || !minor)
    return whole;
  if (*major != 1 || *minor < 24) {
    return Fail(Errc::kInvalid,
                Cat("client version ", parts->head, ".", parts->tail,
                    " is too old. Minimum supported API version is ", kMinApiVersion,
                    ", please upgrade your client to a newer version"));
  }
  return VersionedPath{static_cast<int>(100 + std::min<uint64_t>(*minor, 99)), path.substr(slash)};
}

std::optional<std::string_view> MatchPattern(std::string_view pattern, std::string_view path) {
  size_t at = pattern.find(kParameter);
  if (at == std::string_view::npos) {
    return pattern == path ? std::optional<std::string_view>("") : std::nullopt;
  }
  std::string_view prefix = pattern.substr(0, at);
  std::string_view suffix = pattern.substr(at + kParameter.size());
  if (path.size() <= prefix.size() + suffix.size())
    return std::nullopt;
  if (!path.starts_with(prefix) || !path.ends_with(suffix))
    return std::nullopt;
  std::string_view name = path.substr(prefix.size(), path.size() - prefix.size() - suffix.size());
  bool slashes = prefix == "/images/" || prefix == "/distribution/";
  if (!slashes && name.find('/') != std::string_view::npos)
    return std::nullopt;
  return name;
}

bool Router::StreamsBody(const http::Request& request) {
  auto versioned = SplitVersion(request.path);
  std::string_view name;
  const Route* route =
      versioned ? FindRoute(request.method, WithoutSlash(versioned->path), name) : nullptr;
  return route != nullptr && route->streams_body;
}

void Router::Handle(http::ExchangePtr exchange) const {
  const http::Request& request = exchange->request();
  http::Peer peer = exchange->peer();
  Role role = RoleOf(services_.config->https, peer);
  if (role == Role::kNone) {
    auto refused = CheckAccess(role, Route{}, request.method, peer.certificate_name);
    return ReplyError(*exchange, refused.error());
  }
  if (request.method == "OPTIONS")
    return ReplyEmpty(*exchange, 200);
  auto versioned = SplitVersion(request.path);
  if (!versioned)
    return ReplyError(*exchange, versioned.error());
  std::string_view path = WithoutSlash(versioned->path);
  std::string_view encoded;
  const Route* route = FindRoute(request.method, path, encoded);
  if (route == nullptr) {
    if (IsSwarmPath(path))
      return ReplySwarm(*exchange, path);
    return ReplyError(*exchange, Error(Errc::kNotFound, "page not found"));
  }
  auto allowed = CheckAccess(role, *route, request.method, peer.certificate_name);
  if (!allowed)
    return ReplyError(*exchange, allowed.error());
  auto name = UrlDecode(encoded, PlusIs::kPlus);
  if (!name)
    return ReplyError(*exchange, name.error());
  Call call{std::move(exchange), std::move(*name), role, versioned->version};
  route->handler(services_, std::move(call));
}

}  // namespace wherry::engine::api
