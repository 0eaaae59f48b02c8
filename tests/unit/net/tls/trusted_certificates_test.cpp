#include "net/tls/trusted_certificates.h"

#include <gtest/gtest.h>
#include <mbedtls/platform.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::tls {
namespace {

// Made with `openssl req -x509 -newkey ec`; kServer is signed by kAuthority.
constexpr char kAuthority[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBfjCCASOgAwIBAgIUKpA6gsZTWwoGwV90mC//8XsUgP0wCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEyMTAzMTMwMFoXDTM2MTExODAz\n"
    "MTMwMFowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
    "AQcDQgAEJNnEoSF6OyurHPmQXh+rAN8vnu8GYMfCgnithMNxqrZd/k0sD/wMRX71\n"
    "0SRZgtI7JLyByv2IrgJkX0QCtmREJKNTMFEwHQYDVR0OBBYEFLKVV4XtCEWso/f4\n"
    "tu2LURXVuE2RMB8GA1UdIwQYMBaAFLKVV4XtCEWso/f4tu2LURXVuE2RMA8GA1Ud\n"
    "EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKDiVIloPn/nSsdVc3Ne8IKL\n"
    "lK73UT77ePjcRznyQAQAAiEAyWBKslGc1mq9RoPjtZ71HMFr5IB1mCApUC3tgH8r\n"
    "AcI=\n"
    "-----END CERTIFICATE-----\n";
constexpr char kServer[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBIDCBxgIUaO5RenA/BgesyMyLR+oyCSKU7b0wCgYIKoZIzj0EAwIwFDESMBAG\n"
    "A1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEyMTAzMTMwMFoXDTM2MTExODAzMTMwMFow\n"
    "ETEPMA0GA1UEAwwGc2VydmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuwS3\n"
    "oZUqzwsRTGX1/lZZT2iG6OBpYCINrtRVgjjLwRWVJrtGhqUJGsH0YCzhFqiEyTM8\n"
    "I7f0vu3pK32AgYB0jDAKBggqhkjOPQQDAgNJADBGAiEAoqzIfw+4ikx5Ql159FWg\n"
    "Ca1ucZV8q3J+8swFvdKvJ0UCIQDdkg8KsioMA+/Qnh60oP4vnCk5pzXzf7mw0y5u\n"
    "CqDwPw==\n"
    "-----END CERTIFICATE-----\n";
constexpr char kOther[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdDCCARugAwIBAgIUXsyMgBQyh8Fh4C1tBQxYGTR/WK4wCgYIKoZIzj0EAwIw\n"
    "EDEOMAwGA1UEAwwFb3RoZXIwHhcNMjYxMTIxMDMxMzAwWhcNMzYxMTE4MDMxMzAw\n"
    "WjAQMQ4wDAYDVQQDDAVvdGhlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDBx\n"
    "LjeEsJ9NWdG3nTEEThSbdAC9m3ctLuHq/mal6ZxvQ4EdRCTfKKhinYqR519Dxx/f\n"
    "J+98eaf/jdfc4BPAbjijUzBRMB0GA1UdDgQWBBSLlZ6Is+c6mQp58HD+7ggbY+pY\n"
    "UjAfBgNVHSMEGDAWgBSLlZ6Is+c6mQp58HD+7ggbY+pYUjAPBgNVHRMBAf8EBTAD\n"
    "AQH/MAoGCCqGSM49BAMCA0cAMEQCIAmFd0NZZIo4lvPZhr3xwJ4kZ1i84U5FsRom\n"
    "cjj0rEj6AiB+ixfbmzA5coelMx+6J97P2PgumpYSN6lqoEPDDwPDpw==\n"
    "-----END CERTIFICATE-----\n";

class TrustTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/trust-test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    mbedtls_x509_crt_init(&server_);
    mbedtls_x509_crt_init(&authority_);
    ASSERT_EQ(mbedtls_x509_crt_parse(&server_, reinterpret_cast<const unsigned char*>(kServer),
                                     sizeof kServer),
              0);
    ASSERT_EQ(
        mbedtls_x509_crt_parse(&authority_, reinterpret_cast<const unsigned char*>(kAuthority),
                               sizeof kAuthority),
        0);
  }
  void TearDown() override {
    mbedtls_x509_crt_free(&server_);
    mbedtls_x509_crt_free(&authority_);
    ASSERT_TRUE(RemoveTree(directory_));
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = Cat(directory_, "/", name);
    EXPECT_TRUE(ReplaceFile(path, text, 0644, Durability::kVolatile));
    return path;
  }

  std::string directory_;
  mbedtls_x509_crt server_;
  mbedtls_x509_crt authority_;
};

TEST_F(TrustTest, OffersOnlyTheSigner) {
  TrustedCertificates trusted(
      {Write("bundle", Cat("# comment\n", kOther, kOther, kAuthority, kOther))});
  ASSERT_TRUE(trusted.Check());
  mbedtls_x509_crt* signers = nullptr;
  ASSERT_EQ(TrustedCertificates::FindSigners(&trusted, &server_, &signers), 0);
  ASSERT_NE(signers, nullptr);
  EXPECT_EQ(signers->next, nullptr);
  EXPECT_EQ(signers->raw.len, authority_.raw.len);
  mbedtls_x509_crt_free(signers);
  mbedtls_free(signers);
}

TEST_F(TrustTest, OffersNothingForStrangers) {
  TrustedCertificates trusted({Write("bundle", kOther)});
  mbedtls_x509_crt* signers = nullptr;
  EXPECT_EQ(TrustedCertificates::FindSigners(&trusted, &server_, &signers), 0);
  EXPECT_EQ(signers, nullptr);
}

TEST_F(TrustTest, LooksIntoAllFiles) {
  TrustedCertificates trusted({Write("a", kOther), Write("b", kAuthority)});
  mbedtls_x509_crt* signers = nullptr;
  EXPECT_EQ(TrustedCertificates::FindSigners(&trusted, &server_, &signers), 0);
  ASSERT_NE(signers, nullptr);
  mbedtls_x509_crt_free(signers);
  mbedtls_free(signers);
}

TEST_F(TrustTest, OwnCertificateOnlyWhenSelfIssued) {
  TrustedCertificates trusted({Write("both", Cat(kServer, kAuthority))});
  EXPECT_TRUE(trusted.Holds(authority_));
  EXPECT_FALSE(trusted.Holds(server_)) << "signed by another: its chain decides";
  EXPECT_FALSE(TrustedCertificates({Write("other", kOther)}).Holds(authority_));
}

TEST_F(TrustTest, CheckNamesTheBadFile) {
  auto missing = TrustedCertificates({"/no/such/file"}).Check();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kInvalid);
  EXPECT_NE(missing.error().message().find("/no/such/file"), std::string::npos);
  for (const char* text : {"", "hello", "-----BEGIN CERTIFICATE-----",
                           "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----"}) {
    EXPECT_FALSE(TrustedCertificates({Write("bad", text)}).Check()) << text;
  }
}

}  // namespace
}  // namespace wherry::tls
