#include "ota/release.h"

#include <gtest/gtest.h>

#include "tests/unit/ota/device.h"

namespace wherry::ota {
namespace {

std::string Refusal(std::string_view text) {
  Result<Release> release = Release::Parse(text, "release.json");
  return release ? "accepted" : release.error().message();
}

std::string WithApp(std::string_view app) {
  return ReleaseText(1, app, "");
}

TEST(ReleaseTest, Everything) {
  std::string text = Cat(
      R"({"v":1,"name":"gateway","seq":42,"floor":37,"issued":1767225600,"apps":[)",
      R"({"name":"web","image":")", PinnedName("web"),
      R"(","config":{"Env":["A=1"]},"after":["db"],"strategy":"handover","drain_s":3,)",
      R"("checks":[{"http":8080,"path":"/ok"},{"tcp":8081},{"command":["true"]}]},)",
      R"({"name":"db","image":")", PinnedName("db"), R"("}],)",
      R"("networks":[{"name":"inner","config":{"Internal":true}}],"volumes":[{"name":"data"}],)",
      R"("os":{"version":"3.2","image":")", PinnedName("os"), R"(","size":1024,"sha256":")",
      Digest::Of("os").hex(), R"("},)",
      R"("trial":{"soak_s":5,"deadline_s":50,"starts":2,"restarts":0}})");
  Release release = Release::Parse(text, "release").value();
  EXPECT_EQ(release.name, "gateway");
  EXPECT_EQ(release.sequence, 42U);
  EXPECT_EQ(release.floor, 37U);
  EXPECT_EQ(release.digest, Digest::Of(text));
  ASSERT_EQ(release.apps.size(), 2U);
  EXPECT_EQ(release.apps[0].name, "db");  // web comes after it
  EXPECT_EQ(release.apps[0].config, "{}");
  EXPECT_EQ(release.apps[0].strategy, Strategy::kStopStart);
  const App& web = release.apps[1];
  EXPECT_EQ(web.config, R"({"Env":["A=1"]})");
  EXPECT_EQ(web.strategy, Strategy::kHandover);
  EXPECT_EQ(web.drain.count(), 3);
  ASSERT_EQ(web.checks.size(), 3U);
  EXPECT_EQ(web.checks[0].port, 8080);
  EXPECT_EQ(web.checks[0].path, "/ok");
  EXPECT_EQ(web.checks[1].kind, AppCheck::Kind::kTcp);
  EXPECT_EQ(web.checks[2].command, std::vector<std::string>{"true"});
  EXPECT_EQ(release.networks[0].config, R"({"Internal":true})");
  EXPECT_EQ(release.volumes[0].name, "data");
  EXPECT_EQ(release.os->version, "3.2");
  EXPECT_EQ(release.trial.deadline.count(), 50);
  EXPECT_EQ(release.trial.restarts, 0U);
  EXPECT_EQ(release.FindApp("web"), &web);
  EXPECT_EQ(release.FindApp("x"), nullptr);
}

TEST(ReleaseTest, IdentityIsWhatRuns) {
  auto app = [](std::string_view text) {
    return Release::Parse(WithApp(text), "r")->apps[0].Identity();
  };
  std::string image = PinnedName("web");
  std::string plain = Cat(R"({"name":"web","image":")", image, R"("})");
  EXPECT_EQ(app(plain),
            app(Cat(R"({"name":"web","image":")", image, R"(","checks":[{"tcp":1}]})")));
  EXPECT_NE(app(plain),
            app(Cat(R"({"name":"web","image":")", image, R"(","config":{"Env":["A=1"]}})")));
  EXPECT_NE(app(plain), app(AppText("web", "other")));
  EXPECT_NE(app(plain), app(AppText("wex", "web")));
}

TEST(ReleaseTest, Refusals) {
  std::string good = AppText("a", "a");
  struct Case {
    std::string text;
    std::string_view reason;
  };
  for (const Case& c : std::vector<Case>{
           {"[]", "release.json is no release: it is not an object"},
           {"{", "release.json"},
           {R"({"v":2})", "release.json: v must be from 1 to 1"},
           {ReleaseText(1, good, R"("extra":1)"),
            "release.json: extra is not known to this version of wherry"},
           {ReleaseText(0, good, ""), "release.json: seq must be"},
           {ReleaseText(1, good, R"("floor":2)"), "floor is above seq"},
           {ReleaseText(1, good, R"("seq":2)"), "seq twice"},
           {ReleaseText(1, good, R"("Seq":2)"), "Seq twice"},
           {ReleaseText(1, "", ""), "neither apps nor an os"},
           {ReleaseText(1, Cat(good, ",", good), ""), "the app a twice"},
           {WithApp(R"({"name":"a","image":"registry.example/a:1"})"),
            "apps[0].image must name the image by digest"},
           {WithApp(R"({"name":"a","image":"A@b"})"), "apps[0].image"},
           {WithApp(Cat(R"({"name":"../a","image":")", PinnedName("a"), R"("})")),
            "apps[0].name must be"},
           {WithApp(Cat(R"({"name":"","image":")", PinnedName("a"), R"("})")),
            "apps[0].name must be"},
           {WithApp(
                Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","config":{"Image":"x"}})")),
            "apps[0].config.Image is given by the app's image"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","config":[]})")),
            "apps[0].config must be an object"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","after":["a"]})")),
            "come after each other, among them a"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","after":["b"]})")),
            "comes after b, which is not among them"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","strategy":"blue"})")),
            "apps[0].strategy must be stop-start or handover"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","drain_s":3})")),
            "apps[0].drain_s is for the strategy handover"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","checks":[{"tcp":0}]})")),
            "apps[0].checks[0].tcp"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"),
                        R"(","checks":[{"http":1,"path":"x y"}]})")),
            "apps[0].checks[0].path"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"),
                        R"(","checks":[{"http":1,"tcp":1}]})")),
            "apps[0].checks[0] must have one of"},
           {WithApp(Cat(R"({"name":"a","image":")", PinnedName("a"), R"(","checks":[{}]})")),
            "apps[0].checks[0] must have one of"},
           {ReleaseText(1, good, R"("trial":{"soak_s":9,"deadline_s":9})"),
            "deadline_s must be longer than soak_s"},
           {ReleaseText(1, good, R"("trial":{"starts":0})"), "trial.starts"},
           {ReleaseText(1, good, R"("os":{"version":"1"})"), "os.image"},
           {ReleaseText(1, good, R"("networks":[{"name":"n"},{"name":"n"}])"), "is there twice"},
       }) {
    EXPECT_NE(Refusal(c.text).find(c.reason), std::string::npos) << c.text << "\n"
                                                                 << Refusal(c.text);
  }
}

TEST(ReleaseTest, TooManyApps) {
  std::string apps;
  for (int i = 0; i < 65; ++i)
    Append(apps, i == 0 ? "" : ",", AppText(Cat("a", i), "a"));
  EXPECT_NE(Refusal(ReleaseText(1, apps, "")).find("more than 64 apps"), std::string::npos);
}

TEST(ReleaseTest, OpenVerifiesFirst) {
  PrivateKey key = PrivateKey::Generate().value();
  std::vector<PublicKey> keys;
  keys.push_back(key.Public().value());
  SignedRelease release = Signed(key, ReleaseText(1, AppText("a", "a")));
  EXPECT_EQ(OpenRelease(release.envelope, keys, "r")->digest, release.release.digest);

  Result<Release> unknown = OpenRelease(release.envelope, {}, "r");
  EXPECT_EQ(unknown.error().code(), Errc::kDenied);
  EXPECT_EQ(unknown.error().message(), "r is signed by no key this device trusts for releases");

  Envelope changed = Envelope::Parse(release.envelope, "r").value();
  changed.payload.replace(changed.payload.find("\"seq\":1"), 7, "\"seq\":9");
  EXPECT_EQ(OpenRelease(changed.ToJson(), keys, "r").error().code(), Errc::kDenied);

  Envelope typed{"application/other", changed.payload, {}};
  ASSERT_TRUE(typed.Sign(key));
  EXPECT_EQ(OpenRelease(typed.ToJson(), keys, "r").error().message(),
            "r is no release but application/other");
  EXPECT_EQ(OpenRelease(std::string(kMaxRelease + 1, ' '), keys, "r").error().code(),
            Errc::kInvalid);
}

}  // namespace
}  // namespace wherry::ota
