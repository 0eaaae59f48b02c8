#include "net/registry/credentials.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "net/registry/credential_helper.h"

namespace wherry::registry {
namespace {

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/credentials-test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(directory_)); }
  std::string Path() const { return Cat(directory_, "/sub/config.json"); }
  std::string Text() const { return *ReadFile(Path()); }

  std::string directory_;
};

TEST_F(CredentialsTest, PutGetRemove) {
  CredentialsFile file(Path());
  EXPECT_TRUE(file.Get("host:5000")->empty());
  ASSERT_TRUE(file.Put("host:5000", {"user", "pa:ss", ""}));
  ASSERT_TRUE(file.Put("docker.io", {"hub", "secret", ""}));
  auto found = file.Get("host:5000");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->username, "user");
  EXPECT_EQ(found->password, "pa:ss");
  EXPECT_NE(Text().find("https://index.docker.io/v1/"), std::string::npos)
      << "Docker's own name for its registry";
  EXPECT_EQ(file.Get("docker.io")->username, "hub");
  EXPECT_TRUE(*file.Remove("host:5000"));
  EXPECT_FALSE(*file.Remove("host:5000"));
  EXPECT_TRUE(file.Get("host:5000")->empty());
  EXPECT_EQ(file.Get("docker.io")->password, "secret");
}

TEST_F(CredentialsTest, FileAndDirectoryArePrivate) {
  umask(0);
  ASSERT_TRUE(CredentialsFile(Path()).Put("a", {"u", "p", ""}));
  struct stat info{};
  ASSERT_EQ(stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(Cat(directory_, "/sub").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  umask(022);
}

TEST_F(CredentialsTest, KeepsWhatItDoesNotKnow) {
  ASSERT_TRUE(MakeDirs(Cat(directory_, "/sub"), 0700));
  ASSERT_TRUE(ReplaceFile(
      Path(), R"({"auths":{"x":{"auth":"dTpw","email":"e"}},"psFormat":"table","n":{"a":[1]}})",
      0600, Durability::kVolatile));
  ASSERT_TRUE(CredentialsFile(Path()).Put("y", {"v", "w", ""}));
  std::string text = Text();
  EXPECT_NE(text.find(R"("psFormat":"table")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("n":{"a":[1]})"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("email":"e")"), std::string::npos) << text;
  EXPECT_EQ(CredentialsFile(Path()).Get("x")->password, "p");
}

TEST_F(CredentialsTest, BrokenFileIsAnErrorThatNamesIt) {
  ASSERT_TRUE(MakeDirs(Cat(directory_, "/sub"), 0700));
  ASSERT_TRUE(ReplaceFile(Path(), "{\"auths\":", 0600, Durability::kVolatile));
  auto found = CredentialsFile(Path()).Get("x");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message().find("config.json"), std::string::npos)
      << found.error().message();
}

TEST_F(CredentialsTest, HeaderRoundTrip) {
  Credentials credentials{"user", "p\xc3\xa4ss\"?>", ""};
  auto back = CredentialsFromHeader(CredentialsToHeader(credentials));
  EXPECT_EQ(back.username, credentials.username);
  EXPECT_EQ(back.password, credentials.password);
  EXPECT_TRUE(CredentialsFromHeader("not base64 !").empty());
  EXPECT_TRUE(CredentialsFromHeader("e30=").empty());
  EXPECT_TRUE(CredentialsFromHeader("").empty());
  EXPECT_EQ(CredentialsFromHeader(Base64Encode(R"({"auth":"dTpw"})")).password, "p");
}

TEST_F(CredentialsTest, HelperGivesSecretOnItsOutput) {
  std::string helper = Cat(directory_, "/docker-credential-test");
  ASSERT_TRUE(ReplaceFile(
      helper,
      "#!/bin/sh\nread server\n[ \"$1\" = get ] || exit 2\n"
      "[ \"$server\" = known:1 ] || { echo credentials not found in native keychain; exit 1; }\n"
      "echo '{\"ServerURL\":\"x\",\"Username\":\"helped\",\"Secret\":\"s3\"}'\n",
      0755, Durability::kVolatile));
  std::string path = getenv("PATH");
  setenv("PATH", Cat(directory_, ":", path).c_str(), 1);
  ASSERT_TRUE(MakeDirs(Cat(directory_, "/sub"), 0700));
  ASSERT_TRUE(ReplaceFile(Path(), R"({"credHelpers":{"known:1":"test","other:1":"test"}})", 0600,
                          Durability::kVolatile));
  auto known = CredentialsFile(Path()).Get("known:1");
  auto unknown = CredentialsFile(Path()).Get("other:1");
  auto absent = AskCredentialHelper("missing-helper", "x");
  setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(known) << known.error().message();
  EXPECT_EQ(known->username, "helped");
  EXPECT_EQ(known->password, "s3");
  ASSERT_TRUE(unknown) << unknown.error().message();
  EXPECT_TRUE(unknown->empty());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), Errc::kNotFound);
}

TEST_F(CredentialsTest, HelperNameCannotLeavePath) {
  EXPECT_FALSE(AskCredentialHelper("../../bin/sh", "x"));
  EXPECT_FALSE(AskCredentialHelper("a b", "x"));
}

}  // namespace
}  // namespace wherry::registry
