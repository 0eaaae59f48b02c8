#include "engine/build/plan.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::build {
namespace {

using Args = std::map<std::string, std::string>;

Result<Plan> Make(std::string_view text, std::string_view target = {}, const Args& args = {}) {
  PlanOptions options;
  options.target = target;
  options.build_args = args;
  options.build_platform = {"linux", "amd64", ""};
  options.target_platform = {"linux", "arm", "v7"};
  auto dockerfile = TRY(ParseDockerfile(text));
  return MakePlan(dockerfile, std::move(options));
}

std::string Problem(std::string_view text, std::string_view target = {}) {
  auto plan = Make(text, target);
  return plan ? "" : plan.error().message();
}

std::string Numbers(const std::vector<size_t>& numbers) {
  std::string out;
  for (size_t number : numbers)
    Append(out, out.empty() ? "" : " ", number);
  return out;
}

constexpr std::string_view kStages =
    "FROM a AS base\n"
    "FROM base AS left\n"
    "FROM b AS right\n"
    "FROM scratch\n"
    "COPY --from=left /x /\n"
    "RUN --mount=from=2,target=/r true\n"
    "FROM c AS last\n";

TEST(Plan, OnlyWhatTheTargetNeeds) {
  auto plan = Make(kStages);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->target, 4u);
  EXPECT_EQ(Numbers(plan->order), "4");
  for (auto [target, order] : {std::pair("3", "0 1 2 3"), {"LEFT", "0 1"}, {"right", "2"}}) {
    plan = Make(kStages, target);
    ASSERT_TRUE(plan) << plan.error().message();
    EXPECT_EQ(Numbers(plan->order), order) << target;
  }
  EXPECT_EQ(plan->stages[1].base, 0u);
  EXPECT_EQ(plan->stages[1].image, "");
  EXPECT_EQ(plan->stages[3].image, kScratch);
  EXPECT_EQ(plan->stages[3].line, 4);
  EXPECT_EQ(Problem(kStages, "none"), "target stage \"none\" could not be found");
  EXPECT_EQ(Problem(kStages, "5"), "target stage \"5\" could not be found");
}

TEST(Plan, ReferencesToStages) {
  auto plan = Make(kStages);
  ASSERT_TRUE(plan);
  EXPECT_EQ(*plan->FindStage("Left", 3), 1u);
  EXPECT_EQ(*plan->FindStage("0", 3), 0u);
  EXPECT_EQ(*plan->FindStage("nginx:1", 3), std::nullopt);
  auto later = plan->FindStage("last", 3);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().message(),
            "cannot copy from stage \"last\", it needs to be defined before current stage "
            "\"stage-3\"");
  EXPECT_EQ(
      Problem("FROM a AS x\nCOPY --from=x a b"),
      "dockerfile parse error on line 2: cannot copy from stage \"x\", it needs to be defined "
      "before current stage \"x\"");
  EXPECT_EQ(Problem("FROM a\nCOPY --from=1 a b"),
            "dockerfile parse error on line 2: invalid stage index 1");
  // Of two of a name the nearest one in front counts.
  plan = Make("FROM a AS x\nFROM x AS x\nFROM b AS x\nFROM x\nCOPY --from=x a b");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->stages[1].base, 0u);
  EXPECT_EQ(plan->stages[3].base, 2u);
  EXPECT_EQ(Numbers(plan->order), "2 3");
}

TEST(Plan, TriggersOfAStageNeedStages) {
  auto plan =
      Make("FROM a AS tools\nFROM b AS base\nONBUILD COPY --from=tools /t /\nFROM base\nUSER x\n");
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(Numbers(plan->order), "0 1 2");
  EXPECT_TRUE(plan->stages[1].uses.empty());
}

TEST(Plan, ArgumentsInFrontOfFrom) {
  constexpr std::string_view kText =
      "ARG version=1\n"
      "ARG image=app:$version\n"
      "FROM --platform=$BUILDPLATFORM tool-${TARGETARCH}${TARGETVARIANT} AS one\n"
      "FROM $image\n"
      "ARG version\n";
  auto plan = Make(kText);
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->stages[0].image, "tool-armv7");
  EXPECT_EQ(plan->stages[0].platform, (oci::Platform{"linux", "amd64", ""}));
  EXPECT_EQ(plan->stages[1].image, "app:1");
  EXPECT_EQ(plan->stages[1].platform, (oci::Platform{"linux", "arm", "v7"}));
  plan = Make(kText, "",
              {{"version", "2"}, {"other", "x"}, {"http_proxy", "p"}, {"TARGETARCH", "mips"}});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->stages[1].image, "app:2");
  EXPECT_EQ(plan->stages[0].image, "tool-mipsv7");
  EXPECT_EQ(Join(plan->unused_args, " "), "other");
}

TEST(Plan, Errors) {
  EXPECT_EQ(Problem("ARG a"), "dockerfile contains no stages to build");
  EXPECT_EQ(Problem("RUN x"),
            "dockerfile parse error on line 1: no build stage in current context");
  EXPECT_EQ(Problem("FROM $none"),
            "dockerfile parse error on line 1: base name ($none) should not be blank");
  EXPECT_EQ(Problem("FROM --platform=$none a"),
            "dockerfile parse error on line 1: empty platform value from expression $none");
  EXPECT_NE(Problem("FROM --platform=a/b/c/d a").find("failed to parse platform a/b/c/d"),
            std::string::npos);
  EXPECT_EQ(Problem("ARG a=${b:?missing}\nFROM x"),
            "dockerfile parse error on line 1: failed to process \"${b:?missing}\": b: missing");
}

}  // namespace
}  // namespace wherry::build
