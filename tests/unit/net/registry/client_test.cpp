#include "net/registry/client.h"

#include <gtest/gtest.h>

#include "tests/unit/net/registry/fake_registry.h"

namespace wherry::registry {
namespace {

const std::string kManifestBytes = R"({"schemaVersion":2,"layers":[]})";

Options QuickOptions() {
  Options options;
  options.retries = 1;
  options.stall_timeout = std::chrono::seconds(5);
  options.user_agent = "test";
  return options;
}

Reference Named(const FakeRegistry& registry, std::string_view rest = "/a/b:1") {
  return *Reference::Parse(Cat(registry.name(), rest));
}

std::string BigBlob() {
  std::string blob;
  for (int i = 0; i < 50'000; ++i)
    Append(blob, i, ",");
  return blob;
}

oci::Descriptor DescriptorOf(const std::string& blob) {
  return {"", Digest::Of(blob), blob.size()};
}

Result<std::string> ReadAll(ByteSource& source) {
  std::string text;
  std::array<std::byte, 5000> piece;
  for (;;) {
    size_t count = TRY(source.Read(piece));
    if (count == 0)
      return text;
    text.append(reinterpret_cast<const char*>(piece.data()), count);
  }
}

Result<std::string> Download(Client& client, const std::string& blob) {
  auto source = TRY(client.OpenBlob(DescriptorOf(blob)));
  return ReadAll(*source);
}

TEST(Client, ManifestByTagAndDigest) {
  FakeRegistry registry([](const FakeRequest&) {
    return FakeReply{200, {{"Content-Type", std::string(oci::kOciManifest)}}, kManifestBytes};
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  auto manifest = client.GetManifest();
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->bytes, kManifestBytes);
  EXPECT_EQ(manifest->media_type, oci::kOciManifest);
  EXPECT_EQ(manifest->digest, Digest::Of(kManifestBytes));
  ASSERT_TRUE(client.GetManifest(manifest->digest));
  auto wrong = client.GetManifest(Digest::Of("other"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), Errc::kCorrupt);
  auto requests = registry.requests();
  EXPECT_EQ(requests[0].target, "/v2/a/b/manifests/1");
  EXPECT_NE(requests[0].header("accept").find("index.v1+json"), std::string::npos);
  EXPECT_EQ(requests[0].header("user-agent"), "test");
}

TEST(Client, HeadTellsWithoutTheBytes) {
  FakeRegistry registry([](const FakeRequest& request) {
    EXPECT_EQ(request.method, "HEAD");
    return FakeReply{200,
                     {{"Content-Type", std::string(oci::kOciIndex)},
                      {"Docker-Content-Digest", Digest::Of("x").string()}},
                     kManifestBytes};
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  auto info = client.HeadManifest();
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(info->digest, Digest::Of("x"));
  EXPECT_EQ(info->media_type, oci::kOciIndex);
  EXPECT_EQ(info->size_bytes, kManifestBytes.size());
}

TEST(Client, HugeManifestIsRefused) {
  FakeRegistry registry([](const FakeRequest&) {
    return FakeReply{200, {}, std::string(oci::kMaxManifestBytes + 1, ' ')};
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  EXPECT_EQ(client.GetManifest().error().code(), Errc::kInvalid);
}

TEST(Blob, BrokenConnectionsAreTakenUpAgain) {
  std::string blob = BigBlob();
  int cuts = 5;
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = RangeReply(request, blob);
    if (cuts-- > 0)
      reply.send = 20'000;
    return reply;
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  auto text = Download(client, blob);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_TRUE(*text == blob);
  auto requests = registry.requests();
  ASSERT_EQ(requests.size(), 6u);
  EXPECT_EQ(requests[0].header("range"), "");
  EXPECT_EQ(requests[1].header("range"), "bytes=20000-");
  EXPECT_EQ(requests[5].header("range"), "bytes=100000-");
}

TEST(Blob, ServerWithoutRangesIsReadFromTheStart) {
  std::string blob = BigBlob();
  int cuts = 2;
  FakeRegistry registry([&](const FakeRequest&) {
    return FakeReply{200, {}, blob, cuts-- > 0 ? 30'000 : std::string::npos};
  });
  Options options = QuickOptions();
  options.retries = 3;
  Client client(options, Named(registry), {}, nullptr);
  auto text = Download(client, blob);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_TRUE(*text == blob);
}

TEST(Blob, WrongRangesNeverCorrupt) {
  std::string blob = BigBlob();
  for (bool later : {false, true}) {
    int request_number = 0;
    FakeRegistry registry([&](const FakeRequest&) -> FakeReply {
      if (request_number++ == 0)
        return {200, {}, blob, 1000};
      size_t start = later ? 1001 : 3;
      return {206,
              {{"Content-Range", Cat("bytes ", start, "-", blob.size() - 1, "/", blob.size())}},
              blob.substr(start)};
    });
    Client client(QuickOptions(), Named(registry), {}, nullptr);
    auto text = Download(client, blob);
    EXPECT_EQ(text.has_value(), !later);
    EXPECT_TRUE(later || *text == blob);
  }
}

TEST(Blob, LongerOrShorterThanStated) {
  std::string blob = BigBlob();
  FakeRegistry longer([&](const FakeRequest&) { return FakeReply{200, {}, blob + "x"}; });
  Client first(QuickOptions(), Named(longer), {}, nullptr);
  EXPECT_EQ(Download(first, blob).error().code(), Errc::kCorrupt);
  FakeRegistry shorter([&](const FakeRequest&) { return FakeReply{200, {}, blob.substr(0, 100)}; });
  Client second(QuickOptions(), Named(shorter), {}, nullptr);
  auto error = Download(second, blob);
  ASSERT_FALSE(error);
  EXPECT_NE(error.error().message().find("ended"), std::string::npos) << error.error().message();
  EXPECT_EQ(shorter.requests().size(), 2u) << "tried once more";
}

TEST(Blob, FromAnOffset) {
  std::string blob = BigBlob();
  FakeRegistry registry([&](const FakeRequest& request) { return RangeReply(request, blob); });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  for (uint64_t offset : {uint64_t{1}, uint64_t{77'777}, uint64_t{blob.size()}}) {
    auto source = client.OpenBlob(DescriptorOf(blob), offset);
    ASSERT_TRUE(source) << source.error().message();
    EXPECT_TRUE(*ReadAll(**source) == blob.substr(offset));
  }
  EXPECT_FALSE(client.OpenBlob(DescriptorOf(blob), blob.size() + 1));
}

// `request` answered with what lies between first and last byte.
FakeReply PartReply(const FakeRequest& request, const std::string& full) {
  std::string header = request.header("range").substr(6);
  auto bounds = SplitFirst(header, '-');
  size_t first = static_cast<size_t>(*ParseUint(bounds->head));
  size_t last = static_cast<size_t>(*ParseUint(bounds->tail));
  return {206,
          {{"Content-Range", Cat("bytes ", header, "/", full.size())}},
          full.substr(first, last + 1 - first)};
}

TEST(BlobPart, JustTheseBytes) {
  std::string blob = BigBlob();
  int cuts = 2;
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = PartReply(request, blob);
    if (cuts-- > 0)
      reply.send = 1000;
    return reply;
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  auto part = client.OpenBlobPart(DescriptorOf(blob), 0, 5000);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_FALSE(part->whole);
  EXPECT_TRUE(*ReadAll(*part->source) == blob.substr(0, 5000));
  EXPECT_EQ(registry.requests()[0].header("range"), "bytes=0-4999");
  EXPECT_EQ(registry.requests()[1].header("range"), "bytes=1000-4999");
  for (auto [offset, size] :
       {std::pair<uint64_t, uint64_t>{blob.size(), 1}, {0, 0}, {1, UINT64_MAX}})
    EXPECT_EQ(client.OpenBlobPart(DescriptorOf(blob), offset, size).error().code(), Errc::kInvalid);
}

TEST(BlobPart, WholeBlobInstead) {
  std::string blob = BigBlob();
  int cuts = 1;
  FakeRegistry registry([&](const FakeRequest&) {
    return FakeReply{200, {}, blob, cuts-- > 0 ? 30'000 : std::string::npos};
  });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  auto part = client.OpenBlobPart(DescriptorOf(blob), 700, 50);
  ASSERT_TRUE(part) << part.error().message();
  EXPECT_TRUE(part->whole);
  EXPECT_TRUE(*ReadAll(*part->source) == blob);
}

TEST(BlobPart, AnotherPartInstead) {
  std::string blob = BigBlob();
  for (const char* range : {"bytes 0-49/9999", "bytes 701-750/9999", "", "700-749"}) {
    FakeRegistry registry([&](const FakeRequest&) {
      return FakeReply{206, {{"Content-Range", range}}, blob.substr(0, 50)};
    });
    Client client(QuickOptions(), Named(registry), {}, nullptr);
    EXPECT_EQ(client.OpenBlobPart(DescriptorOf(blob), 700, 50).error().code(), Errc::kInvalid);
  }
  FakeRegistry longer([&](const FakeRequest&) {
    return FakeReply{206, {{"Content-Range", "bytes 700-999/9999"}}, blob.substr(700, 300)};
  });
  Client client(QuickOptions(), Named(longer), {}, nullptr);
  auto part = client.OpenBlobPart(DescriptorOf(blob), 700, 50);
  ASSERT_TRUE(part);
  EXPECT_EQ(ReadAll(*part->source).error().code(), Errc::kCorrupt);
}

TEST(Blob, SmallOneIsVerified) {
  FakeRegistry registry([](const FakeRequest&) { return FakeReply{200, {}, "{}"}; });
  Client client(QuickOptions(), Named(registry), {}, nullptr);
  EXPECT_EQ(*client.GetBlob(DescriptorOf("{}")), "{}");
  EXPECT_EQ(client.GetBlob({"", Digest::Of("[]"), 2}).error().code(), Errc::kCorrupt);
  EXPECT_EQ(client.GetBlob({"", Digest::Of("{}"), oci::kMaxConfigBytes + 1}).error().code(),
            Errc::kInvalid);
}

TEST(Client, StatusesBecomeErrors) {
  struct Case {
    int status;
    Errc code;
    std::string_view says;
    size_t requests;
  };
  for (const Case& c :
       {Case{401, Errc::kUnauthorized, "wherry login", 1}, Case{403, Errc::kDenied, "no entry", 1},
        Case{404, Errc::kNotFound, "manifest unknown", 1}, Case{429, Errc::kUnavailable, "429", 2},
        Case{500, Errc::kUnavailable, "500", 2}, Case{503, Errc::kUnavailable, "no entry", 2},
        Case{418, Errc::kInvalid, "418", 1}}) {
    FakeRegistry registry([&](const FakeRequest&) {
      return FakeReply{c.status, {}, R"({"errors":[{"code":"X","message":"no\u001b entry"}]})"};
    });
    Client client(QuickOptions(), Named(registry), {}, nullptr);
    auto manifest = client.GetManifest();
    ASSERT_FALSE(manifest);
    EXPECT_EQ(manifest.error().code(), c.code) << c.status;
    std::string message = manifest.error().message();
    std::erase(message, ' ');
    std::string says(c.says);
    std::erase(says, ' ');
    EXPECT_NE(message.find(says), std::string::npos) << manifest.error().message();
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
    EXPECT_EQ(registry.requests().size(), c.requests) << c.status;
  }
}

TEST(Auth, BasicIsSentOnceItIsAskedFor) {
  FakeRegistry registry([](const FakeRequest& request) -> FakeReply {
    if (request.header("authorization") == Cat("Basic ", Base64Encode("u:p")))
      return {200, {}, kManifestBytes};
    return {
        401, {{"WWW-Authenticate", "Negotiate"}, {"WWW-Authenticate", "Basic realm=\"x\""}}, {}};
  });
  Client client(QuickOptions(), Named(registry), {"u", "p"}, nullptr);
  ASSERT_TRUE(client.GetManifest());
  ASSERT_TRUE(client.GetManifest());
  EXPECT_EQ(registry.requests().size(), 3u);
  EXPECT_EQ(registry.requests()[0].header("authorization"), "");
  Client wrong(QuickOptions(), Named(registry), {"u", "q"}, nullptr);
  auto refused = wrong.CheckLogin();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kUnauthorized);
  EXPECT_EQ(refused.error().message().find("q "), std::string::npos) << "no secret in errors";
}

// A registry with a token server; each token is good for `uses` requests.
struct TokenRegistry {
  explicit TokenRegistry(int uses)
      : uses_(uses), registry_([this](const FakeRequest& r) { return Handle(r); }) {}

  FakeReply Handle(const FakeRequest& request) {
    if (request.target.starts_with("/token")) {
      left_ = uses_;
      return {200, {}, Cat(R"({"access_token":"t)", ++issued_, R"(","expires_in":300})")};
    }
    bool good = request.header("authorization") == Cat("Bearer t", issued_) && left_-- > 0;
    if (good)
      return {200, {}, kManifestBytes};
    std::string challenge = Cat("Bearer realm=\"http://", registry_.name(),
                                "/token\",service=\"s x\",", "scope=\"repository:a/b:pull\"");
    return {401, {{"WWW-Authenticate", challenge}}, {}};
  }

  int uses_;
  int left_ = 0;
  int issued_ = 0;
  FakeRegistry registry_;
};

TEST(Auth, TokenIsFetchedOnceAndAgainWhenRefused) {
  TokenRegistry tokens(2);
  Client client(QuickOptions(), Named(tokens.registry_), {"u", "p"}, nullptr);
  for (int i = 0; i < 4; ++i) {
    auto manifest = client.GetManifest();
    ASSERT_TRUE(manifest) << manifest.error().message();
  }
  EXPECT_EQ(tokens.registry_.Count("/token"), 2u);
  auto request = tokens.registry_.requests()[1];
  EXPECT_EQ(request.target, "/token?service=s%20x&scope=repository%3Aa%2Fb%3Apull&account=u");
  EXPECT_EQ(request.header("authorization"), Cat("Basic ", Base64Encode("u:p")));
}

TEST(Auth, IdentityTokenIsPosted) {
  TokenRegistry tokens(9);
  Client client(QuickOptions(), Named(tokens.registry_), {"", "", "id&1"}, nullptr);
  ASSERT_TRUE(client.GetManifest());
  auto request = tokens.registry_.requests()[1];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/token");
  EXPECT_NE(request.body.find("grant_type=refresh_token"), std::string::npos);
  EXPECT_NE(request.body.find("refresh_token=id%261"), std::string::npos);
  EXPECT_EQ(request.header("authorization"), "");
}

TEST(Auth, TokenThatIsNeverAcceptedEnds) {
  TokenRegistry tokens(0);
  Client client(QuickOptions(), Named(tokens.registry_), {}, nullptr);
  EXPECT_EQ(client.GetManifest().error().code(), Errc::kUnauthorized);
  EXPECT_LE(tokens.registry_.requests().size(), 6u);
}

TEST(Redirect, CredentialsStayWithTheirOrigin) {
  std::string blob = BigBlob();
  FakeRegistry storage([&](const FakeRequest& request) { return RangeReply(request, blob); });
  FakeRegistry registry([&](const FakeRequest& request) -> FakeReply {
    if (request.header("authorization").empty())
      return {401, {{"WWW-Authenticate", "Basic realm=x"}}, {}};
    if (request.target.ends_with("?again"))
      return {307, {{"Location", Cat("http://", storage.name(), "/blob?sig=1")}}, {}};
    return {302, {{"Location", "?again"}}, "moved"};
  });
  Client client(QuickOptions(), Named(registry), {"u", "p"}, nullptr);
  auto text = Download(client, blob);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_TRUE(*text == blob);
  EXPECT_NE(registry.requests().back().header("authorization"), "") << "the same origin keeps them";
  ASSERT_EQ(storage.requests().size(), 1u);
  EXPECT_EQ(storage.requests()[0].header("authorization"), "");
}

TEST(Redirect, LoopsAndOtherProtocolsEnd) {
  for (std::string_view location : {"?x", "file:///etc/passwd", "gopher://h/", "http://"}) {
    FakeRegistry registry([&](const FakeRequest&) {
      return FakeReply{302, {{"Location", std::string(location)}}, {}};
    });
    Client client(QuickOptions(), Named(registry), {}, nullptr);
    EXPECT_EQ(client.GetManifest().error().code(), Errc::kInvalid) << location;
    EXPECT_LE(registry.requests().size(), 6u);
  }
}

TEST(Mirror, FirstThenTheRegistryItself) {
  bool broken = false;
  FakeRegistry mirror([&](const FakeRequest&) {
    return broken ? FakeReply{404, {}, {}} : FakeReply{200, {}, kManifestBytes};
  });
  FakeRegistry registry([](const FakeRequest& request) -> FakeReply {
    if (request.header("authorization").empty())
      return {401, {{"WWW-Authenticate", "Basic realm=x"}}, {}};
    return {200, {}, kManifestBytes};
  });
  Options options = QuickOptions();
  options.hosts[registry.name()].mirrors = {"http://127.0.0.1:1", Cat("http://", mirror.name())};
  Client client(options, Named(registry), {"u", "p"}, nullptr);
  ASSERT_TRUE(client.GetManifest());
  EXPECT_TRUE(registry.requests().empty());
  broken = true;
  ASSERT_TRUE(client.GetManifest());
  for (const FakeRequest& request : mirror.requests())
    EXPECT_EQ(request.header("authorization"), "");
}

TEST(Mirror, OtherTagsAreAskedForWhereTheManifestCameFrom) {
  FakeRegistry mirror([](const FakeRequest& request) {
    bool other = request.target.ends_with("/_other");
    return other ? FakeReply{404, {}, {}} : FakeReply{200, {}, kManifestBytes};
  });
  FakeRegistry registry([](const FakeRequest&) { return FakeReply{200, {}, kManifestBytes}; });
  Options options = QuickOptions();
  options.hosts[registry.name()].mirrors = {Cat("http://", mirror.name())};
  Client client(options, Named(registry), {}, nullptr);
  ASSERT_TRUE(client.GetManifest());
  EXPECT_EQ(client.GetManifestByTag("_other").error().code(), Errc::kNotFound);
  EXPECT_TRUE(registry.requests().empty());
}

TEST(Mirror, WrongContentIsAskedForElsewhere) {
  FakeRegistry mirror([](const FakeRequest&) { return FakeReply{200, {}, "{\"evil\":1}"}; });
  FakeRegistry registry([](const FakeRequest&) { return FakeReply{200, {}, kManifestBytes}; });
  Options options = QuickOptions();
  options.hosts[registry.name()].mirrors = {Cat("http://", mirror.name())};
  Client client(options, Named(registry), {}, nullptr);
  auto manifest = client.GetManifest(Digest::Of(kManifestBytes));
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->bytes, kManifestBytes);
}

TEST(Client, UnreachableIsSaidSoon) {
  Reference reference;
  {
    FakeRegistry gone([](const FakeRequest&) { return FakeReply(); });
    reference = Named(gone);
  }
  auto error = Client(QuickOptions(), reference, {}, nullptr).GetManifest();
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code(), Errc::kUnavailable);
  EXPECT_NE(error.error().message().find(reference.registry), std::string::npos);
  EXPECT_NE(error.error().message().find("connection refused"), std::string::npos)
      << error.error().message();
}

TEST(Client, CancelEndsWhatRuns) {
  std::string blob = BigBlob();
  std::atomic<bool> cancelled = false;
  FakeRegistry registry([&](const FakeRequest&) {
    return FakeReply{200, {{"Content-Length", Cat(blob.size() * 2)}}, blob};  // then silence
  });
  Client client(QuickOptions(), Named(registry), {}, &cancelled);
  auto source = client.OpenBlob({"", Digest::Of("x"), blob.size() * 2});
  ASSERT_TRUE(source) << source.error().message();
  cancelled = true;
  EXPECT_EQ(ReadAll(**source).error().code(), Errc::kCancelled);
}

}  // namespace
}  // namespace wherry::registry
