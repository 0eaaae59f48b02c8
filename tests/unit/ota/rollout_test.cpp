#include "ota/fleet/rollout.h"

#include <gtest/gtest.h>

#include "ota/dsse.h"

namespace wherry::ota {
namespace {

constexpr int64_t kNow = 1'767'225'600;

Rollout TwoWaves() {
  Rollout rollout;
  rollout.plan.deployment.name = "d1";
  rollout.plan.group = "all";
  rollout.plan.waves = {100, 1000};
  rollout.opened = kNow;
  return rollout;
}

RolloutCounts Counts(std::initializer_list<std::pair<Outcome, uint64_t>> outcomes) {
  RolloutCounts counts;
  for (auto [outcome, count] : outcomes) {
    counts.by_outcome[static_cast<size_t>(outcome)] = count;
    counts.open += count;
  }
  counts.members = counts.open;
  return counts;
}

TEST(Rollout, AWaveWaitsForWhoIsConnectedAndNotForWhoIsAway) {
  Rollout rollout = TwoWaves();
  for (Outcome unfinished : {Outcome::kBusy, Outcome::kTrial}) {
    EXPECT_FALSE(Advance(rollout, Counts({{Outcome::kConfirmed, 40}, {unfinished, 1}}), kNow));
    EXPECT_EQ(rollout.wave, 0U);
  }
  EXPECT_FALSE(Advance(rollout, Counts({{Outcome::kAway, 5}}), kNow)) << "nobody has confirmed";
  EXPECT_TRUE(Advance(rollout, Counts({{Outcome::kConfirmed, 40}, {Outcome::kAway, 5}}), kNow));
  EXPECT_EQ(rollout.wave, 1U);
  EXPECT_TRUE(Advance(rollout, Counts({{Outcome::kConfirmed, 40}, {Outcome::kAway, 5}}), kNow));
  EXPECT_EQ(rollout.phase, Phase::kDone);
}

TEST(Rollout, PatienceEnds) {
  Rollout rollout = TwoWaves();
  RolloutCounts counts = Counts({{Outcome::kConfirmed, 40}, {Outcome::kBusy, 1}});
  int64_t later = kNow + rollout.plan.patience.count();
  EXPECT_FALSE(Advance(rollout, counts, later - 1));
  EXPECT_TRUE(Advance(rollout, counts, later));
  EXPECT_EQ(rollout.wave, 1U);
}

TEST(Rollout, SoakBeginsAnewWhenADeviceIsAtWorkAgain) {
  Rollout rollout = TwoWaves();
  rollout.plan.soak = std::chrono::seconds(10);
  RolloutCounts good = Counts({{Outcome::kConfirmed, 4}});
  EXPECT_TRUE(Advance(rollout, good, kNow));
  EXPECT_FALSE(Advance(rollout, good, kNow + 9));
  EXPECT_TRUE(Advance(rollout, Counts({{Outcome::kConfirmed, 4}, {Outcome::kTrial, 1}}), kNow + 9));
  EXPECT_TRUE(Advance(rollout, good, kNow + 10));
  EXPECT_FALSE(Advance(rollout, good, kNow + 19));
  EXPECT_TRUE(Advance(rollout, good, kNow + 20));
  EXPECT_EQ(rollout.wave, 1U);
}

TEST(Rollout, FailuresAreHeldAgainstWhoHasBegun) {
  RolloutCounts early = Counts({{Outcome::kFailed, 10}, {Outcome::kConfirmed, 83}});
  Rollout rollout = TwoWaves();
  EXPECT_TRUE(Advance(rollout, early, kNow));
  EXPECT_EQ(rollout.phase, Phase::kAborted);
  EXPECT_NE(rollout.reason.find("10 of 93 devices failed"), std::string::npos) << rollout.reason;

  early.by_outcome[static_cast<size_t>(Outcome::kTrial)] = 7;
  rollout = TwoWaves();
  EXPECT_FALSE(Advance(rollout, early, kNow));
  EXPECT_EQ(rollout.phase, Phase::kRunning);

  rollout = TwoWaves();
  EXPECT_TRUE(Advance(rollout, Counts({{Outcome::kOverdue, 2}, {Outcome::kConfirmed, 1}}), kNow));
  EXPECT_EQ(rollout.phase, Phase::kAborted) << "silence is a failure";
}

TEST(Rollout, AWaveWithoutASuccessOpensNoOther) {
  Rollout rollout = TwoWaves();
  EXPECT_TRUE(Advance(rollout, Counts({{Outcome::kFailed, 1}, {Outcome::kAway, 3}}), kNow));
  EXPECT_EQ(rollout.phase, Phase::kPaused);
}

TEST(Rollout, TheDocumentIsReadAsItWasWritten) {
  PrivateKey key = PrivateKey::Generate().value();
  std::vector<PublicKey> keys;
  keys.push_back(key.Public().value());
  Rollout rollout = TwoWaves();
  rollout.epoch = 7;
  rollout.wave = 1;
  rollout.phase = Phase::kPaused;
  rollout.refused.push_back({"gw-7", "E_DENIED", "no"});
  Envelope envelope{std::string(kRolloutType), rollout.ToJson(), {}};
  ASSERT_TRUE(envelope.Sign(key));
  Result<Rollout> read = Rollout::Open(envelope.ToJson(), keys);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->ToJson(), rollout.ToJson());

  std::vector<PublicKey> others;
  others.push_back(PrivateKey::Generate().value().Public().value());
  EXPECT_EQ(Rollout::Open(envelope.ToJson(), others).error().code(), Errc::kDenied);
  envelope.payload = R"({"v":1,"dep":"d","waves":[10,5],"wave":0})";
  ASSERT_TRUE(envelope.Sign(key));
  EXPECT_EQ(Rollout::Open(envelope.ToJson(), keys).error().code(), Errc::kInvalid);
}

TEST(FleetView, OutcomesOfADevice) {
  FleetView view;
  DeploymentId id{"d2", "sha256:aa", std::chrono::seconds(30)};
  auto outcome = [&](std::chrono::seconds uptime = {}) {
    return OutcomeOf(view.devices().find("gw")->second, id, uptime);
  };
  ASSERT_TRUE(view.Take("gw/conn", R"({"s":1})", {}));
  EXPECT_EQ(outcome(), Outcome::kBusy);
  ASSERT_TRUE(view.Take("gw/dep/d2", R"({"n":1,"st":"TRIAL"})", {}));
  EXPECT_EQ(outcome(), Outcome::kTrial);
  ASSERT_TRUE(view.Take("gw/reported", R"({"state":"TRIAL","deployment":"d2"})", {}));
  ASSERT_TRUE(view.Take("gw/conn", R"({"s":0})", {}));
  EXPECT_EQ(outcome(std::chrono::seconds(90)), Outcome::kAway);
  EXPECT_EQ(outcome(std::chrono::seconds(91)), Outcome::kOverdue);
  ASSERT_TRUE(
      view.Take("gw/dep/d2", R"({"n":2,"st":"REVERTED","code":"E_HEALTH","msg":"a\nb"})", {}));
  EXPECT_EQ(outcome(), Outcome::kFailed);
  EXPECT_EQ(FailureOf(view.devices().find("gw")->second, id), "E_HEALTH a b");
  ASSERT_TRUE(view.Take("gw/reported",
                        R"({"state":"CONFIRMED","deployment":"x","active":{"digest":"sha256:aa"}})",
                        {}));
  EXPECT_EQ(outcome(), Outcome::kConfirmed) << "the release came by another deployment";
  EXPECT_FALSE(view.Take("gw/reported", "{", {}));
  ASSERT_TRUE(view.Take("gw/reported", "", {}));
  EXPECT_TRUE(view.devices().empty());
}

}  // namespace
}  // namespace wherry::ota
