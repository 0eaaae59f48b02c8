#include "ota/key.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "tests/unit/temp_dir.h"

namespace wherry::ota {
namespace {

// openssl ecparam -name prime256v1 -genkey; openssl dgst -sha256 -sign; of the text "wherry\n".
constexpr std::string_view kForeignPem =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEh56ryv78K0cK4kHvvOq0Mg5Wc9qS\n"
    "QHGJvA5Scm3TJTrbNxs/a8BkviiT+4s4ZUiO3hIiB2q9tHvDzM7TuBJKWg==\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kForeignSignature =
    "MEYCIQC5MLmjLfSIWjW9BphJR5HFLoiHB7F4T8K8a2uMLgC5kQIhALj+"
    "kd1VDCYnUMxYYTMe913I22ZWZRbTbSvAA81i9c8P";
constexpr std::string_view kRsa =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCkjtIL23r0MS0I0J02Sudg9xmC\n"
    "bkOsJjVG5YWPzhxe0moyRWzIAlLFBVozCxlBn3xCVN7B4lNMWYAPsNThE4d2MHOi\n"
    "acPcnVQ7X4N5webvptzCrfUI6RKvAT1uxSi/SzSFhajCzF7nHqaKdRAG6QwmB93+\n"
    "Ncwswb8k1/sAAFZXPQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kP384 =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE0Kdetdv/ZRSD97wlm+yTqDmRmPdGA3WP\n"
    "Ia7VhVvhhSe8OvptCBf+h0VH7ENciqjyjkvMrg1pdCyPy6xyf+ynD7ZxxDmucfhb\n"
    "KVnYXkhzeh6hbbAUyAZDs4jTK4CEK93N\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kEncrypted =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "Proc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-128-CBC,C7E0698BC392433296AD431E9446BB64\n"
    "\n"
    "5s/RLQzfEPCEYG1AgxeJM9xCXcKUveVAJP/4pN7roVodb9q5X0CjjJj2PZGBCA5v\n"
    "CcA3q6qgmd03oOI4gZZgfc5EHF1VU/Om6ZdrnJm1ERitTHkET7ANZ8VfZrFvhvdm\n"
    "b2+K+vUPtFEoCFu+Ux4IiBGwZNrWaaAl0aXF1SNIHR8=\n"
    "-----END EC PRIVATE KEY-----\n";

TEST(KeyTest, SignsAndVerifies) {
  PrivateKey key = PrivateKey::Generate().value();
  PublicKey pub = key.Public().value();
  std::string signature = key.Sign("message").value();
  EXPECT_TRUE(pub.Verifies("message", signature));
  EXPECT_FALSE(pub.Verifies("massage", signature));
  signature[signature.size() - 1] ^= 1;
  EXPECT_FALSE(pub.Verifies("message", signature));
  EXPECT_FALSE(pub.Verifies("message", ""));
  PublicKey other = PrivateKey::Generate()->Public().value();
  EXPECT_FALSE(other.Verifies("message", key.Sign("message").value()));
  EXPECT_NE(other.id(), pub.id());
}

TEST(KeyTest, ReadsOpenssl) {
  PublicKey key = PublicKey::Parse(kForeignPem, "key").value();
  EXPECT_EQ(key.id(), "e86b627a3ebd58dc");
  std::string signature = Base64Decode(kForeignSignature).value();
  EXPECT_TRUE(key.Verifies("wherry\n", signature));
  EXPECT_FALSE(key.Verifies("wherry", signature));
}

TEST(KeyTest, PemIsReadBack) {
  TempDir dir;
  PrivateKey key = PrivateKey::Generate().value();
  ASSERT_TRUE(ReplaceFile(dir / "key", key.Pem(), 0600, Durability::kVolatile));
  PrivateKey again = PrivateKey::Load(dir / "key").value();
  PublicKey pub = PublicKey::Parse(again.Public()->Pem(), "pub").value();
  EXPECT_EQ(pub.id(), key.Public()->id());
  EXPECT_TRUE(pub.Verifies("x", key.Sign("x").value()));
}

TEST(KeyTest, RefusesWhatIsNoKey) {
  for (std::string_view text :
       {std::string_view(""), std::string_view("-----BEGIN PUBLIC KEY-----"), kRsa, kP384}) {
    Result<PublicKey> key = PublicKey::Parse(text, "fleet.pub");
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().message(),
              "fleet.pub is no public key on P-256 in PEM (\"BEGIN PUBLIC KEY\")");
  }
}

TEST(KeyTest, RefusesAnOpenPrivateKey) {
  TempDir dir;
  std::string path = dir / "key";
  ASSERT_TRUE(ReplaceFile(path, PrivateKey::Generate()->Pem(), 0640, Durability::kVolatile));
  Result<PrivateKey> key = PrivateKey::Load(path);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code(), Errc::kDenied);
  EXPECT_EQ(key.error().message(),
            path + " may be read by others than its owner: chmod 600 " + path);
}

TEST(KeyTest, RefusesAPassword) {
  TempDir dir;
  ASSERT_TRUE(ReplaceFile(dir / "key", kEncrypted, 0600, Durability::kVolatile));
  Result<PrivateKey> key = PrivateKey::Load(dir / "key");
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code(), Errc::kUnsupported) << key.error().message();
}

}  // namespace
}  // namespace wherry::ota
