// /build: images from Dockerfiles, by the protocol of Docker's classic builder.
#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/body_pipe.h"
#include "engine/api/image_json.h"
#include "engine/builder/builds.h"
#include "engine/config.h"

namespace wherry::engine::api {

namespace {

// {"name":"value"}; a value of null takes nothing from the default.
Result<std::map<std::string, std::string>> ReadMap(const http::Request& request,
                                                   std::string_view name) {
  std::map<std::string, std::string> map;
  std::string_view text = request.param(name);
  if (text.empty())
    return map;
  auto document = TRY(JsonDocument::Parse(text, name));
  for (JsonValue member : document.root()) {
    if (member.IsString())
      map[std::string(member.key())] = member.str();
  }
  return map;
}

// What is given but would have no effect.
Result<> RefuseUnsupported(const http::Request& request) {
  struct Row {
    std::string_view param;
    std::string_view what;
  };
  constexpr Row kRows[] = {
      {"remote", "a build context at an address"},
      {"outputs", "--output"},
      {"cgroupparent", "--cgroup-parent"},
      {"isolation", "--isolation"},
  };
  for (const Row& row : kRows) {
    std::string_view value = request.param(row.param);
    if (!value.empty() && value != "client-session" && value != "[]" && value != "null" &&
        value != "default")
      return Fail(Errc::kUnsupported, Cat(row.what, " is not supported by build"));
  }
  if (request.param("version") == "2")
    return Fail(Errc::kUnsupported, "BuildKit is not supported; set DOCKER_BUILDKIT=0");
  if (request.flag("squash"))
    return Fail(Errc::kUnsupported, "--squash is not supported by build");
  if (std::string_view options = request.param("securityopt");
      !options.empty() && options != "[]" && options != "null")
    return Fail(Errc::kUnsupported, "--security-opt is not supported by build");
  return {};
}

// The limits of the containers of RUN, as members of HostConfig.
Result<std::string> ReadHostConfig(const http::Request& request) {
  struct Row {
    std::string_view param;
    std::string_view member;
    bool number;
  };
  constexpr Row kRows[] = {
      {"memory", "Memory", true},          {"memswap", "MemorySwap", true},
      {"cpushares", "CpuShares", true},    {"cpuquota", "CpuQuota", true},
      {"cpuperiod", "CpuPeriod", true},    {"shmsize", "ShmSize", true},
      {"cpusetcpus", "CpusetCpus", false}, {"cpusetmems", "CpusetMems", false},
  };
  JsonWriter json;
  json.Object();
  for (const Row& row : kRows) {
    std::string_view value = request.param(row.param);
    if (value.empty() || value == "0")
      continue;
    if (row.number) {
      json.Field(row.member, TRY_CTX(row.param, ParseInt(value)));
    } else {
      json.Field(row.member, value);
    }
  }
  if (std::string_view ulimits = request.param("ulimits"); !ulimits.empty()) {
    auto document = TRY(JsonDocument::Parse(ulimits, "ulimits"));
    if (document.root().size() > 0)
      json.Field("Ulimits", document.root());
  }
  std::vector<std::string> hosts;
  auto [first, last] = request.query.equal_range("extrahosts");
  for (auto host = first; host != last; ++host)
    hosts.push_back(host->second);
  if (!hosts.empty())
    json.Field("ExtraHosts", hosts);
  json.End();
  return json.Take();
}

// {"https://index.docker.io/v1/":{"username":...}}
std::map<std::string, registry::Credentials> ReadCredentials(const http::Request& request) {
  std::map<std::string, registry::Credentials> credentials;
  auto decoded = Base64Decode(request.header("X-Registry-Config"));
  auto document = decoded ? JsonDocument::Parse(*decoded, "X-Registry-Config")
                          : Result<JsonDocument>(Fail(Errc::kInvalid, ""));
  if (!document)
    return credentials;
  for (JsonValue entry : document->root()) {
    credentials[registry::NormaliseHost(entry.key())] = registry::CredentialsFromJson(entry);
  }
  return credentials;
}

Result<BuildRequest> ReadBuild(const http::Request& request) {
  TRY(RefuseUnsupported(request));
  BuildRequest build;
  if (!request.param("dockerfile").empty())
    build.dockerfile = request.param("dockerfile");
  auto [first, last] = request.query.equal_range("t");
  for (auto name = first; name != last; ++name) {
    if (name->second.empty())
      continue;
    auto reference = TRY(registry::Reference::Parse(name->second));
    if (reference.digest)
      return Fail(Errc::kInvalid, "an image cannot be named by a digest; give NAME:TAG");
    build.tags.push_back(std::move(reference));
  }
  build.target = request.param("target");
  build.args = TRY(ReadMap(request, "buildargs"));
  build.labels = TRY(ReadMap(request, "labels"));
  build.platform = request.param("platform");
  build.network = request.param("networkmode");
  if (build.network.empty())
    build.network = "default";
  build.host_config = TRY(ReadHostConfig(request));
  build.use_cache = !request.flag("nocache");
  build.pull = request.flag("pull");
  build.quiet = request.flag("q") ? Quiet::kYes : Quiet::kNo;
  build.credentials = ReadCredentials(request);
  build.progress_line = ProgressLine;
  return build;
}

void Build(const Services& services, Call call) {
  auto read = ReadBuild(call.request());
  if (!read)
    return ReplyError(*call.exchange, read.error());
  http::ExchangePtr exchange = call.exchange;
  auto context = std::make_shared<UploadPipe>(services.loop, exchange);
  auto answer = std::make_shared<DownloadPipe>(services.loop, exchange, "application/json",
                                               context->cancel());
  context->Begin();
  auto begun = services.builds->Begin([services, context, answer, request = std::move(*read)] {
    auto sink = [&](std::string_view bytes) { return answer->Write(bytes); };
    auto result = std::make_shared<Result<>>(
        services.builds->Build(request, *context, sink, context->cancel()));
    if (!*result)
      LogWarning("build: ", result->error().message());
    services.loop->Post([answer, result] { answer->Finish(*result); });
  });
  if (!begun)
    ReplyError(*exchange, begun.error());
}

// The cache is made of images, which "image prune" removes.
void PruneCache(const Services&, Call call) {
  JsonWriter json;
  json.Object().Key("CachesDeleted").Array().End().Field("SpaceReclaimed", 0).End();
  ReplyJson(*call.exchange, 200, json.Take());
}

constexpr Route kRoutes[] = {
    {"POST", "/build", Build, true},
    {"POST", "/build/prune", PruneCache},
};

}  // namespace

std::span<const Route> BuildRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
