#include "net/tls/config.h"

#include <sys/stat.h>

#include "tests/unit/net/tls/authority.h"

namespace wherry::tls {
namespace {

std::string ErrorOf(const Result<std::shared_ptr<const Config>>& result) {
  return result ? "" : result.error().message();
}

TEST(TlsConfig, TakesACertificateAndItsKey) {
  TestAuthority authority;
  IdentityFiles files = authority.Issue("device");
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), files)), "");
  EXPECT_EQ(ErrorOf(Config::Server(authority.trust(), files, {})), "");
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), {})), "");
}

TEST(TlsConfig, AKeyThatAllMayReadIsRefused) {
  TestAuthority authority;
  IdentityFiles files = authority.Issue("device");
  ASSERT_EQ(chmod(files.key.c_str(), 0644), 0);
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), files)),
            Cat("the private key ", files.key, " is open to all users; run: chmod o= ", files.key));
  ASSERT_EQ(chmod(files.key.c_str(), 0640), 0);
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), files)), "");
}

TEST(TlsConfig, WhatIsNoKeyOrNoCertificateIsNamed) {
  TestAuthority authority;
  IdentityFiles device = authority.Issue("device");
  IdentityFiles other = authority.Issue("other");
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), {device.certificate, other.key})),
            Cat("the private key ", other.key, " is not the one of the certificate ",
                device.certificate));
  ASSERT_EQ(chmod(other.certificate.c_str(), 0600), 0);
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), {device.certificate, other.certificate})),
            Cat("the private key ", other.certificate,
                " is not a private key in PEM form (RSA or ECDSA)"));
  EXPECT_EQ(ErrorOf(Config::Client(authority.trust(), {device.key, device.key})),
            Cat("the certificate ", device.key, " is not a certificate in PEM form"));
  EXPECT_NE(ErrorOf(Config::Client(authority.trust(), {device.certificate, "/no/such.key"}))
                .find("/no/such.key"),
            std::string::npos);
  EXPECT_NE(ErrorOf(Config::Client(authority.trust(), {device.certificate, ""})), "");
}

TEST(TlsConfig, WithoutAnAuthorityNothingIsTrusted) {
  EXPECT_NE(ErrorOf(Config::Client({}, {})).find("no authority"), std::string::npos);
  EXPECT_NE(ErrorOf(Config::Client({{"/no/ca.pem"}, ""}, {})).find("/no/ca.pem"),
            std::string::npos);
}

}  // namespace
}  // namespace wherry::tls
