#include "ota/desired.h"

#include <gtest/gtest.h>

#include "core/base/text.h"
#include "ota/wanted.h"
#include "tests/unit/temp_dir.h"

namespace wherry::ota {
namespace {

std::string Signed(const PrivateKey& key, std::string text, std::string_view type = kDesiredType) {
  Envelope envelope{std::string(type), std::move(text), {}};
  if (!envelope.Sign(key))
    abort();
  return envelope.ToJson();
}

std::string Text(uint64_t sequence, std::string_view deployment = "d1") {
  return Cat(R"({"v":1,"dep":")", deployment, R"(","rseq":)", sequence, R"(,"release":{"a":1}})");
}

class DesiredTest : public testing::Test {
 protected:
  DesiredTest() { keys_.push_back(key_.Public().value()); }

  TempDir dir_;
  PrivateKey key_ = PrivateKey::Generate().value();
  std::vector<PublicKey> keys_;
};

TEST_F(DesiredTest, RoundTrip) {
  Desired desired;
  desired.deployment = "spring";
  desired.sequence = 7;
  desired.gate = 200;
  desired.hold = true;
  desired.release = R"({"payload":"x"})";
  Desired again = Desired::Open(Signed(key_, desired.ToJson()), keys_, "topic").value();
  EXPECT_EQ(again.deployment, "spring");
  EXPECT_EQ(again.sequence, 7U);
  EXPECT_EQ(again.gate, 200U);
  EXPECT_TRUE(again.hold);
  EXPECT_FALSE(again.revoke);
  EXPECT_EQ(again.release, desired.release);
}

TEST_F(DesiredTest, Refusals) {
  auto refusal = [&](std::string_view envelope) {
    auto desired = Desired::Open(envelope, keys_, "topic");
    return desired ? "accepted" : desired.error().message();
  };
  EXPECT_EQ(refusal(Signed(PrivateKey::Generate().value(), Text(1))),
            "topic is signed by no key this device trusts for rollouts");
  EXPECT_EQ(refusal(Signed(key_, Text(1), "application/other")),
            "topic is no desired state but application/other");
  struct Case {
    std::string_view text;
    std::string_view reason;
  };
  for (const Case& c : {
           Case{R"({"v":2})", "topic: v must be"},
           Case{R"({"v":1,"rseq":1,"release":{}})", "topic: dep must have"},
           Case{R"({"v":1,"dep":"d","release":{}})", "topic: rseq must be"},
           Case{R"({"v":1,"dep":"d","rseq":1})", "topic: release is missing"},
           Case{R"({"v":1,"dep":"d","rseq":1,"release":1})", "topic: release must be an object"},
           Case{R"({"v":1,"dep":"d","rseq":1,"gate":1001,"release":{}})", "topic: gate must be"},
           Case{R"({"v":1,"dep":"d","rseq":1,"dep":"e","release":{}})", "dep twice"},
           Case{R"({"v":1,"dep":"d","rseq":1,"other":1,"release":{}})",
                "topic: other is not known"},
       })
    EXPECT_NE(refusal(Signed(key_, std::string(c.text))).find(c.reason), std::string::npos)
        << refusal(Signed(key_, std::string(c.text)));
}

// About as many devices as the gate says, others for each deployment, and those of a smaller gate
// are among those of a larger one.
TEST_F(DesiredTest, WavesOpenForSome) {
  Desired desired;
  desired.deployment = "spring";
  desired.gate = 200;
  constexpr int kDevices = 5000;
  int open = 0;
  int open_in_both = 0;
  for (int i = 0; i < kDevices; ++i) {
    std::string device = Cat("device-", i);
    bool small = desired.OpenFor(device);
    Desired wider = desired;
    wider.gate = 500;
    EXPECT_TRUE(!small || wider.OpenFor(device));
    Desired other = desired;
    other.deployment = "summer";
    open += small ? 1 : 0;
    open_in_both += small && other.OpenFor(device) ? 1 : 0;
  }
  EXPECT_NEAR(open, kDevices / 5, kDevices / 50);
  EXPECT_NEAR(open_in_both, kDevices / 25, kDevices / 50);
  desired.gate = 0;
  EXPECT_FALSE(desired.OpenFor("device-1"));
  desired.gate = 1000;
  EXPECT_TRUE(desired.OpenFor("device-1"));
}

TEST_F(DesiredTest, MarksOutliveTheProcess) {
  std::string path = dir_ / "wanted.json";
  {
    WantedMarks marks(path);
    EXPECT_FALSE(marks.Take("t", Signed(key_, Text(5)), keys_)->settled);
    ASSERT_TRUE(marks.Settle("t", "d1"));
  }
  WantedMarks marks(path);
  EXPECT_TRUE(marks.Take("t", Signed(key_, Text(5)), keys_)->settled);
  EXPECT_EQ(marks.Take("t", Signed(key_, Text(4)), keys_).error().message(),
            "t has number 4, and 5 was there before: ignored");
  EXPECT_FALSE(marks.Take("t", Signed(key_, Text(6, "d2")), keys_)->settled);
  EXPECT_TRUE(marks.Take("other", Signed(key_, Text(1)), keys_));
  ASSERT_TRUE(ReplaceFile(path, "garbage", 0600, Durability::kVolatile));
  EXPECT_TRUE(WantedMarks(path).Take("t", Signed(key_, Text(1)), keys_));
}

}  // namespace
}  // namespace wherry::ota
