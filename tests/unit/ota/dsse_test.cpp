#include "ota/dsse.h"

#include <gtest/gtest.h>

namespace wherry::ota {
namespace {

TEST(DsseTest, RoundTrip) {
  PrivateKey key = PrivateKey::Generate().value();
  std::vector<PublicKey> keys;
  keys.push_back(PrivateKey::Generate()->Public().value());
  keys.push_back(key.Public().value());
  Envelope envelope{"application/example", R"({"a":1})", {}};
  ASSERT_TRUE(envelope.Sign(key));
  Envelope again = Envelope::Parse(envelope.ToJson(), "document").value();
  EXPECT_EQ(again.payload, R"({"a":1})");
  EXPECT_EQ(again.payload_type, "application/example");
  const PublicKey* signer = again.SignedBy(keys);
  ASSERT_NE(signer, nullptr);
  EXPECT_EQ(signer->id(), keys[1].id());
  EXPECT_EQ(again.SignedBy(std::span(keys).first(1)), nullptr);
}

TEST(DsseTest, SigningAgainReplaces) {
  PrivateKey key = PrivateKey::Generate().value();
  Envelope envelope{"t", "p", {}};
  ASSERT_TRUE(envelope.Sign(key));
  ASSERT_TRUE(envelope.Sign(key));
  EXPECT_EQ(envelope.signatures.size(), 1U);
  ASSERT_TRUE(envelope.Sign(PrivateKey::Generate().value()));
  EXPECT_EQ(envelope.signatures.size(), 2U);
}

TEST(DsseTest, CoversTypeAndPayload) {
  PrivateKey key = PrivateKey::Generate().value();
  std::vector<PublicKey> keys;
  keys.push_back(key.Public().value());
  Envelope envelope{"t", "payload", {}};
  ASSERT_TRUE(envelope.Sign(key));
  Envelope other_payload = envelope;
  other_payload.payload = "paylaod";
  EXPECT_EQ(other_payload.SignedBy(keys), nullptr);
  Envelope other_type = envelope;
  other_type.payload_type = "u";
  EXPECT_EQ(other_type.SignedBy(keys), nullptr);
  // What moves bytes between the two is covered by their lengths.
  Envelope moved = envelope;
  moved.payload_type = "t payload";
  moved.payload = "";
  EXPECT_EQ(moved.SignedBy(keys), nullptr);
}

TEST(DsseTest, RefusesOthers) {
  struct Case {
    std::string_view json;
    std::string_view reason;
  };
  for (const Case& c : {
           Case{"[]", "payloadType is missing"},
           Case{R"({"payloadType":"t","payload":"%","signatures":[{"sig":"AA=="}]})",
                "payload is not in base64"},
           Case{R"({"payloadType":"t","payload":"","signatures":[{"sig":"AA=="}]})",
                "payload is not in base64"},
           Case{R"({"payloadType":"t","payload":"AA==","signatures":[]})", "it has 0 signatures"},
           Case{R"({"payloadType":"t","payload":"AA=="})", "it has 0 signatures"},
           Case{R"({"payloadType":"t","payload":"AA==","signatures":[{"sig":"!"}]})",
                "a signature is not in base64"},
           Case{R"({"payloadType":"t","payload":"AA==","payload":"BB==","signatures":[]})",
                "payload twice"},
           Case{R"({"payloadType":"t","payload":"AA==","PAYLOAD":"BB==","signatures":[]})",
                "PAYLOAD twice"},
           Case{"{", "release.json"},
       }) {
    Result<Envelope> envelope = Envelope::Parse(c.json, "release.json");
    ASSERT_FALSE(envelope) << c.json;
    EXPECT_EQ(envelope.error().code(), Errc::kInvalid);
    EXPECT_NE(envelope.error().message().find(c.reason), std::string::npos)
        << envelope.error().message();
  }
}

TEST(DsseTest, ManySignaturesAreRefused) {
  std::string json = R"({"payloadType":"t","payload":"AA==","signatures":[)";
  for (int i = 0; i < 9; ++i)
    json += R"({"sig":"AA=="},)";
  json.back() = ']';
  json += '}';
  EXPECT_FALSE(Envelope::Parse(json, "x"));
}

}  // namespace
}  // namespace wherry::ota
