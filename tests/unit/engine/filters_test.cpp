#include "engine/filters.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

constexpr std::string_view kKeys[] = {"label", "name", "dangling"};

Filters Parsed(std::string_view text) {
  auto filters = Filters::Parse(text, kKeys);
  EXPECT_TRUE(filters) << text;
  return filters ? std::move(*filters) : Filters();
}

TEST(Filters, ReadsBothForms) {
  for (std::string_view text : {R"({"label":{"a=b":true,"c":true}})", R"({"label":["a=b","c"]})"}) {
    Filters filters = Parsed(text);
    EXPECT_EQ(filters.Values("label"), (std::vector<std::string>{"a=b", "c"})) << text;
  }
}

TEST(Filters, EmptyTextIsNoFilter) {
  for (std::string_view text : {"", "  ", "{}", "null", R"({"label":[]})"}) {
    EXPECT_TRUE(Parsed(text).empty()) << text;
  }
}

TEST(Filters, RefusesUnknownKeysAndMalformedText) {
  for (std::string_view text :
       {R"({"colour":["red"]})", "[1]", "{", R"({"label":"a"})", R"({"label":3})", "x"}) {
    auto filters = Filters::Parse(text, kKeys);
    ASSERT_FALSE(filters) << text;
    EXPECT_EQ(filters.error().code(), Errc::kInvalid);
  }
  EXPECT_EQ(Filters::Parse(R"({"colour":["red"]})", kKeys).error().message(),
            "invalid filter 'colour'");
}

TEST(Filters, LabelsMustAllMatch) {
  std::map<std::string, std::string> labels = {{"a", "b"}, {"c", "d=e"}, {"empty", ""}};
  EXPECT_TRUE(Parsed("").MatchesLabels(labels));
  EXPECT_TRUE(Parsed(R"({"label":["a","c=d=e"]})").MatchesLabels(labels));
  EXPECT_TRUE(Parsed(R"({"label":["empty="]})").MatchesLabels(labels));
  EXPECT_FALSE(Parsed(R"({"label":["a=c"]})").MatchesLabels(labels));
  EXPECT_FALSE(Parsed(R"({"label":["a","missing"]})").MatchesLabels(labels));
}

TEST(Filters, FlagIsDockersBoolean) {
  EXPECT_TRUE(Parsed(R"({"dangling":["true"]})").Flag("dangling"));
  EXPECT_TRUE(Parsed(R"({"dangling":{"1":true}})").Flag("dangling"));
  EXPECT_FALSE(Parsed(R"({"dangling":["false"]})").Flag("dangling"));
  EXPECT_FALSE(Parsed("").Flag("dangling"));
}

TEST(MatchesPattern, IsASmallRegularExpression) {
  struct Row {
    std::string_view pattern, text;
    bool matches;
  };
  constexpr Row kRows[] = {
      {"web", "my_web_1", true}, {"^web", "my_web_1", false},
      {"^/web$", "/web", true},  {"^/web$", "/web2", false},
      {"w.b", "web", true},      {"we*b", "wb", true},
      {"we*b", "weeeb", true},   {"a.*z", "abcz", true},
      {"a\\.b", "a.b", true},    {"a\\.b", "axb", false},
      {"", "x", true},           {"$", "x", true},
      {"x$", "xy", false},       {"^$", "", true},
      {"b", "", false},          {"\\", "a\\", true},
  };
  for (const Row& row : kRows)
    EXPECT_EQ(MatchesPattern(row.pattern, row.text), row.matches) << row.pattern << " " << row.text;
}

TEST(MatchesPattern, StaysBoundedOnHostileInput) {
  std::string stars;
  for (int i = 0; i < 200; ++i)
    stars += "a*";
  EXPECT_FALSE(MatchesPattern(stars + "b", std::string(5000, 'a')));
  EXPECT_TRUE(MatchesPattern(stars + "b", std::string(5000, 'a') + "b"));
}

TEST(MatchesReference, WildcardsStayInsideComponents) {
  EXPECT_TRUE(MatchesReference("nginx", "nginx:1"));
  EXPECT_TRUE(MatchesReference("nginx:*", "nginx:1"));
  EXPECT_TRUE(MatchesReference("*", "nginx:1"));
  EXPECT_FALSE(MatchesReference("*", "host:5000/nginx:1"));
  EXPECT_TRUE(MatchesReference("host:5000/*", "host:5000/nginx:1"));
  EXPECT_TRUE(MatchesReference("host:5000/nginx", "host:5000/nginx:1"));
}

Event ContainerEvent(std::string action) {
  return {"container",
          std::move(action),
          std::string(64, 'a'),
          {{"image", "nginx:1"}, {"name", "web"}, {"k", "v"}}};
}

bool Matches(const Event& event, std::string_view filters) {
  auto parsed = Filters::Parse(filters, kEventFilters);
  EXPECT_TRUE(parsed) << filters;
  return parsed && MatchesEvent(event, *parsed);
}

TEST(MatchesEvent, FollowsDockersRules) {
  Event start = ContainerEvent("start");
  EXPECT_TRUE(Matches(start, ""));
  EXPECT_TRUE(Matches(start, R"({"container":["web"],"event":["start","stop"]})"));
  EXPECT_TRUE(Matches(start, R"({"container":["aaaa"]})"));
  EXPECT_FALSE(Matches(start, R"({"container":["db"]})"));
  EXPECT_TRUE(Matches(start, R"({"image":["nginx"]})"));
  EXPECT_TRUE(Matches(start, R"({"image":["nginx:1"]})"));
  EXPECT_FALSE(Matches(start, R"({"image":["nginx:2"]})"));
  EXPECT_TRUE(Matches(start, R"({"label":["k=v"],"type":["container"]})"));
  EXPECT_FALSE(Matches(start, R"({"type":["image"]})"));
  EXPECT_FALSE(Matches(start, R"({"event":["sta"]})"));
  EXPECT_TRUE(Matches(ContainerEvent("health_status: healthy"), R"({"event":["health_status"]})"));
  EXPECT_FALSE(Matches(start, R"({"scope":["swarm"]})"));
}

}  // namespace
}  // namespace wherry::engine
