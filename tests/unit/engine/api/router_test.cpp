#include "engine/api/router.h"

#include <gtest/gtest.h>

namespace wherry::engine::api {
namespace {

TEST(SplitVersion, PrefixIsOptional) {
  EXPECT_EQ(SplitVersion("/_ping")->path, "/_ping");
  EXPECT_EQ(SplitVersion("/_ping")->version, 147);
  EXPECT_EQ(SplitVersion("/v1.41/images/json")->path, "/images/json");
  EXPECT_EQ(SplitVersion("/v1.41/images/json")->version, 141);
  EXPECT_EQ(SplitVersion("/v1.24/info")->version, 124);
  EXPECT_EQ(SplitVersion("/v1.99/info")->path, "/info") << "a newer client is never turned away";
}

TEST(SplitVersion, NamesThatOnlyLookLikeVersions) {
  EXPECT_EQ(SplitVersion("/volumes/x")->path, "/volumes/x");
  EXPECT_EQ(SplitVersion("/version")->path, "/version");
  EXPECT_EQ(SplitVersion("/vx.y/z")->path, "/vx.y/z");
}

TEST(SplitVersion, TooOldInDockersWords) {
  auto old = SplitVersion("/v1.12/info");
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code(), Errc::kInvalid);
  EXPECT_NE(old.error().message().find(
                "client version 1.12 is too old. Minimum supported API version is 1.24"),
            std::string::npos);
}

TEST(MatchPattern, PlainAndNamed) {
  EXPECT_EQ(MatchPattern("/info", "/info"), "");
  EXPECT_EQ(MatchPattern("/info", "/info2"), std::nullopt);
  EXPECT_EQ(MatchPattern("/containers/{name}/json", "/containers/web/json"), "web");
  EXPECT_EQ(MatchPattern("/containers/{name}/json", "/containers/json"), std::nullopt);
  EXPECT_EQ(MatchPattern("/containers/{name}/json", "/containers//json"), std::nullopt);
  EXPECT_EQ(MatchPattern("/containers/{name}", "/containers/a/b"), std::nullopt);
}

TEST(MatchPattern, ImageNamesHaveSlashes) {
  EXPECT_EQ(MatchPattern("/images/{name}/json", "/images/127.0.0.1:5000/a/b:1/json"),
            "127.0.0.1:5000/a/b:1");
  EXPECT_EQ(MatchPattern("/images/{name}", "/images/a/b"), "a/b");
}

TEST(StreamsBody, OnlyOfLoads) {
  auto streams = [](const char* method, const char* path) {
    http::Request request;
    request.method = method;
    request.path = path;
    return Router::StreamsBody(request);
  };
  EXPECT_TRUE(streams("POST", "/v1.47/images/load"));
  EXPECT_TRUE(streams("POST", "/images/load/"));
  EXPECT_FALSE(streams("GET", "/images/load"));
  EXPECT_FALSE(streams("POST", "/v1.12/images/load"));
  EXPECT_FALSE(streams("POST", "/containers/create"));
  EXPECT_FALSE(streams("POST", "/no/such/path"));
}

TEST(ReaderMay, OnlyWhatChangesNothingAndShowsNoSecrets) {
  auto may = [](std::span<const Route> table, std::string_view method, std::string_view pattern) {
    for (const Route& route : table) {
      if (route.method == method && route.pattern == pattern)
        return ReaderMay(route);
    }
    ADD_FAILURE() << "no route " << method << " " << pattern;
    return false;
  };
  EXPECT_TRUE(may(ContainerRoutes(), "GET", "/containers/json"));
  EXPECT_TRUE(may(ContainerRoutes(), "GET", "/containers/{name}/logs"));
  EXPECT_TRUE(may(MetricsRoutes(), "GET", "/metrics"));
  EXPECT_FALSE(may(ContainerRoutes(), "POST", "/containers/{name}/attach"));
  EXPECT_FALSE(may(ContainerRoutes(), "POST", "/containers/{name}/wait"));
  EXPECT_FALSE(may(ContainerRoutes(), "DELETE", "/containers/{name}"));
  EXPECT_FALSE(may(ArchiveRoutes(), "GET", "/images/get"));
  EXPECT_FALSE(may(ArchiveRoutes(), "GET", "/images/{name}/get"));
  EXPECT_FALSE(may(FileRoutes(), "GET", "/containers/{name}/archive"));
  EXPECT_FALSE(may(FileRoutes(), "GET", "/containers/{name}/export"));
  EXPECT_FALSE(may(ExecRoutes(), "GET", "/exec/{name}/json"));
  EXPECT_FALSE(may(SystemRoutes(), "GET", "/wherry/v1/config"));
  EXPECT_FALSE(may(TransferRoutes(), "GET", "/wherry/v1/pull/plan"));
}

TEST(Errors, EveryCodeHasAnHttpStatus) {
  EXPECT_EQ(HttpStatus(Errc::kNotFound), 404);
  EXPECT_EQ(HttpStatus(Errc::kConflict), 409);
  EXPECT_EQ(HttpStatus(Errc::kNotModified), 304);
  EXPECT_EQ(HttpStatus(Errc::kUnsupported), 501);
  EXPECT_EQ(HttpStatus(Errc::kCorrupt), 500);
}

}  // namespace
}  // namespace wherry::engine::api
