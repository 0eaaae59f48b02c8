#include <gtest/gtest.h>

#include "tests/unit/engine/compose/loading.h"

namespace wherry::compose {
namespace {

constexpr const char* kGroup =
    "services:\n"
    "  web: {image: x, depends_on: [db, cache]}\n"
    "  db: {image: x}\n"
    "  cache: {image: x, depends_on: [db]}\n"
    "  debug: {image: x, profiles: [debug], depends_on: [web]}\n"
    "  side: {image: x, profiles: [debug, side], network_mode: 'service:db'}\n";

std::string Names(const std::vector<std::string>& names, const std::vector<std::string>& profiles,
                  Dependencies dependencies = Dependencies::kInclude) {
  Group group = GroupOf(kGroup);
  auto selected = SelectServices(group, names, profiles, dependencies);
  if (!selected)
    return selected.error().message();
  std::string text;
  for (const Service* service : *selected)
    text += service->name + " ";
  return text;
}

TEST(Select, OrderAndProfiles) {
  EXPECT_EQ(Names({}, {}), "db cache web ");
  EXPECT_EQ(Names({}, {"side"}), "db cache web side ");
  EXPECT_EQ(Names({}, {"*"}), "db cache web debug side ");
  EXPECT_EQ(Names({"cache"}, {}), "db cache ");
  EXPECT_EQ(Names({"cache", "web"}, {}, Dependencies::kLeaveOut), "cache web ");
  EXPECT_EQ(Names({"debug"}, {}), "db cache web debug ");
  EXPECT_EQ(Names({"none"}, {}), "no such service: none");
}

TEST(Select, DependencyThatNoProfileSwitchesOn) {
  Group group = GroupOf(
      "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]},\n"
      "  c: {image: x, depends_on: {b: {required: false}}}}");
  auto selected = SelectServices(group, {"a"}, {}, Dependencies::kInclude);
  ASSERT_FALSE(selected);
  EXPECT_EQ(selected.error().message(),
            "service a depends on b, which no active profile switches on");
  auto without = SelectServices(group, {"c"}, {}, Dependencies::kInclude);
  ASSERT_TRUE(without);
  EXPECT_EQ(without->size(), 1U);
}

TEST(Select, CyclesAreNamed) {
  EXPECT_EQ(
      ProblemOf("services: {x: {image: x, depends_on: [a]}, a: {image: x, depends_on: [b]},\n"
                "  b: {image: x, depends_on: [c]}, c: {image: x, network_mode: 'service:a'}}"),
      "services depend on each other in a circle: a -> b -> c -> a");
  EXPECT_EQ(ProblemOf("services: {a: {image: x, depends_on: [a]}}"),
            "services depend on each other in a circle: a -> a");
  EXPECT_EQ(ProblemOf("services: {a: {image: x, depends_on: [z]}}"),
            "service a depends on z, which is not there");
}

}  // namespace
}  // namespace wherry::compose
