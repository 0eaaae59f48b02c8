#include "net/registry/push_client.h"

#include <gtest/gtest.h>

#include "tests/unit/net/registry/fake_registry.h"

namespace wherry::registry {
namespace {

const std::string kContent = "the content of a blob";

Options QuickOptions() {
  Options options;
  options.retries = 2;
  options.stall_timeout = std::chrono::seconds(5);
  return options;
}

class Content final : public ByteSource {
 public:
  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = std::min(out.size(), left_.size());
    std::copy_n(std::as_bytes(std::span(left_)).begin(), count, out.begin());
    left_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view left_ = kContent;
};

Result<std::unique_ptr<ByteSource>> OpenContent() {
  return std::make_unique<Content>();
}

PushClient ClientOf(const FakeRegistry& registry, Credentials credentials = {}) {
  return PushClient(QuickOptions(), *Reference::Parse(Cat(registry.name(), "/a/b:1")),
                    std::move(credentials), nullptr);
}

FakeReply Accepted(std::string location) {
  return {202, {{"Location", std::move(location)}}, ""};
}

TEST(PushClient, SmallBlobInOneRequest) {
  FakeRegistry registry([](const FakeRequest& request) {
    if (request.method == "POST")
      return Accepted("/somewhere?state=x");
    return FakeReply{201, {}, ""};
  });
  PushClient client = ClientOf(registry);
  auto blob = client.Upload(OpenContent);
  ASSERT_TRUE(blob) << blob.error().message();
  EXPECT_EQ(blob->digest, Digest::Of(kContent));
  EXPECT_EQ(blob->size, kContent.size());
  auto requests = registry.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].target, "/v2/a/b/blobs/uploads/");
  EXPECT_EQ(requests[1].method, "PUT");
  EXPECT_TRUE(requests[1].target.starts_with("/somewhere?state=x&digest=sha256%3A"));
  EXPECT_EQ(requests[1].body, kContent);
}

TEST(PushClient, AnotherHostGetsNoCredentials) {
  FakeRegistry storage([](const FakeRequest&) { return FakeReply{201, {}, ""}; });
  FakeRegistry registry([&storage](const FakeRequest& request) {
    if (request.header("authorization").empty())
      return FakeReply{401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, ""};
    return Accepted(Cat("http://", storage.name(), "/upload"));
  });
  Credentials credentials;
  credentials.username = "user";
  credentials.password = "secret";
  PushClient client = ClientOf(registry, credentials);
  auto blob = client.Upload(OpenContent);
  ASSERT_TRUE(blob) << blob.error().message();
  ASSERT_EQ(storage.requests().size(), 1U);
  EXPECT_EQ(storage.requests()[0].header("authorization"), "");
}

TEST(PushClient, ARefusedMountsUploadIsUsed) {
  FakeRegistry registry([](const FakeRequest& request) {
    if (request.method == "POST")
      return Accepted("/spare");
    return FakeReply{201, {}, ""};
  });
  PushClient client = ClientOf(registry);
  EXPECT_EQ(client.Mount(Digest::Of("x"), "other/place").value(), false);
  ASSERT_TRUE(client.Upload(OpenContent));
  auto requests = registry.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_NE(requests[0].target.find("from=other%2Fplace"), std::string::npos);
  EXPECT_TRUE(requests[1].target.starts_with("/spare?digest="));
}

TEST(PushClient, BeginsAnewWhenTheUploadIsForgotten) {
  int puts = 0;
  FakeRegistry registry([&puts](const FakeRequest& request) {
    if (request.method == "POST")
      return Accepted("/upload");
    if (request.method == "PUT" && ++puts == 1)
      return FakeReply{404, {}, ""};
    return FakeReply{request.method == "DELETE" ? 204 : 201, {}, ""};
  });
  PushClient client = ClientOf(registry);
  ASSERT_TRUE(client.Upload(OpenContent));
  EXPECT_EQ(puts, 2);
}

TEST(PushClient, RefusalsSayWhatTheyMean) {
  struct Row {
    int status;
    Errc code;
    const char* words;
  };
  for (const Row& row :
       {Row{403, Errc::kDenied, "may not write"}, Row{405, Errc::kUnsupported, "read-only"},
        Row{413, Errc::kNoSpace, "size"}, Row{404, Errc::kNotFound, "know"}}) {
    FakeRegistry registry([&row](const FakeRequest&) { return FakeReply{row.status, {}, ""}; });
    PushClient client = ClientOf(registry);
    auto blob = client.Upload(OpenContent);
    ASSERT_FALSE(blob);
    EXPECT_EQ(blob.error().code(), row.code) << row.status;
    EXPECT_NE(blob.error().message().find(row.words), std::string::npos) << blob.error().message();
  }
}

TEST(PushClient, ARegistryThatTakesAnotherManifestIsNotBelieved) {
  FakeRegistry registry([](const FakeRequest&) {
    return FakeReply{201, {{"Docker-Content-Digest", Digest::Of("other").string()}}, ""};
  });
  PushClient client = ClientOf(registry);
  auto digest = client.PutManifest("1", "{}", "application/json");
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace wherry::registry
