#include "net/registry/reference.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::registry {
namespace {

constexpr std::string_view kHex =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Good {
  std::string text;
  std::string canonical;
  std::string familiar;
};

TEST(Reference, Normalises) {
  const Good cases[] = {
      {"nginx", "docker.io/library/nginx:latest", "nginx:latest"},
      {"nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"},
      {"user/app", "docker.io/user/app:latest", "user/app:latest"},
      {"docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
      {"index.docker.io/library/nginx:1", "docker.io/library/nginx:1", "nginx:1"},
      {"localhost/app", "localhost/app:latest", "localhost/app:latest"},
      {"localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"},
      {"127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1"},
      {"[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"},
      {"Registry/app", "Registry/app:latest", "Registry/app:latest"},
      {"a.b/c__d/e---f/g.h", "a.b/c__d/e---f/g.h:latest", "a.b/c__d/e---f/g.h:latest"},
      {Cat("nginx@sha256:", kHex), Cat("docker.io/library/nginx@sha256:", kHex),
       Cat("nginx@sha256:", kHex)},
      {Cat("nginx:1@sha256:", kHex), Cat("docker.io/library/nginx@sha256:", kHex),
       Cat("nginx@sha256:", kHex)},
  };
  for (const Good& good : cases) {
    auto reference = Reference::Parse(good.text);
    ASSERT_TRUE(reference) << good.text << ": " << reference.error().message();
    EXPECT_EQ(reference->Canonical(), good.canonical);
    EXPECT_EQ(reference->Familiar(), good.familiar);
  }
}

TEST(Reference, CanonicalParsesToItself) {
  for (std::string_view text : {"nginx", "a.b:1/c/d:tag", "user/app:x"}) {
    auto once = Reference::Parse(text);
    ASSERT_TRUE(once);
    auto twice = Reference::Parse(once->Canonical());
    ASSERT_TRUE(twice);
    EXPECT_EQ(twice->Canonical(), once->Canonical());
  }
}

TEST(Reference, RefusesBadNames) {
  const std::string cases[] = {
      "",
      "Nginx",
      "nginx:",
      ":tag",
      "a//b",
      "/a",
      "a/",
      "a..b",
      "-a",
      "a-",
      "a___b",
      "a b",
      "a:b c",
      "a@md5:00",
      "a@sha256:0",
      "host:port/a",
      "host:0/a",
      "host:99999/a",
      "a/../b",
      "a\nb",
      "a:.tag",
      "x/Y",
      std::string(kHex),
      Cat("a:", std::string(129, 't')),
      std::string(300, 'a'),
      "[::1/a",
      "a.b:5000/",
      "a@",
      "a%2fb",
  };
  for (const std::string& text : cases) {
    auto reference = Reference::Parse(text);
    ASSERT_FALSE(reference) << text;
    EXPECT_EQ(reference.error().code(), Errc::kInvalid) << text;
  }
}

TEST(Reference, SaysWhatIsWrong) {
  auto upper = Reference::Parse("docker.io/Nginx");
  ASSERT_FALSE(upper);
  EXPECT_NE(upper.error().message().find("lowercase"), std::string::npos);
}

TEST(Reference, HostsAsUsersWriteThem) {
  EXPECT_EQ(NormaliseHost(""), "docker.io");
  EXPECT_EQ(NormaliseHost("https://index.docker.io/v1/"), "docker.io");
  EXPECT_EQ(NormaliseHost("https://host:5000/"), "host:5000");
  EXPECT_EQ(NormaliseHost("host"), "host");
}

}  // namespace
}  // namespace wherry::registry
