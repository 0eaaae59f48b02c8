#include "core/base/json.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/text.h"

namespace wherry {
namespace {

JsonDocument Parsed(std::string_view text) {
  auto document = JsonDocument::Parse(text, "test");
  EXPECT_TRUE(document) << text << ": " << (document ? "" : document.error().message());
  return std::move(*document);
}

TEST(JsonDocument, TypedLookups) {
  auto doc = Parsed(
      R"({"s":"text","n":42,"neg":-7,"t":true,"f":false,"z":null,"a":["x",1,"y",null],"o":{"k":"v"}})");
  EXPECT_TRUE(doc.root().IsObject());
  EXPECT_EQ(doc["s"].str(), "text");
  EXPECT_EQ(doc["n"].integer(), 42);
  EXPECT_EQ(doc["neg"].integer(), -7);
  EXPECT_TRUE(doc["t"].boolean());
  EXPECT_FALSE(doc["f"].boolean(true));
  EXPECT_TRUE(doc["z"].IsNull());
  EXPECT_TRUE(static_cast<bool>(doc["z"]));
  EXPECT_EQ(doc["a"].strings(), (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(doc["a"].size(), 4u);
  EXPECT_EQ(doc["a"].at(2).str(), "y");
  EXPECT_FALSE(doc["a"].at(4));
  EXPECT_EQ(doc["o"]["k"].str(), "v");
  EXPECT_EQ(doc["o"]["k"].key(), "k");
}

TEST(JsonDocument, EveryAccessorIsTotal) {
  auto doc = Parsed(R"({"s":"text","n":1,"a":[1],"z":null})");
  for (std::string_view key : {"s", "n", "a", "z", "missing"}) {
    JsonValue value = doc[key];
    EXPECT_FALSE(value["x"]["y"].at(3));
    EXPECT_EQ(value["x"].str("fallback"), "fallback");
    EXPECT_EQ(value["x"].integer(5), 5);
    EXPECT_TRUE(value["x"].boolean(true));
    EXPECT_TRUE(value["x"].strings().empty());
    EXPECT_EQ(value["x"].Dump(), "null");
    EXPECT_EQ(value["x"].key(), "");
  }
  EXPECT_EQ(doc["s"].integer(9), 9);
  EXPECT_EQ(doc["n"].str("f"), "f");
  EXPECT_EQ(doc["s"].size(), 0u);
}

TEST(JsonDocument, KeysAsGoFindsThem) {
  auto doc = Parsed(R"({"ID":"folded","Id":"exact","a":1,"a":2})");
  EXPECT_EQ(doc["Id"].str(), "exact");
  EXPECT_EQ(doc["id"].str(), "exact");
  EXPECT_EQ(doc["ID"].str(), "folded");
  EXPECT_EQ(doc["a"].integer(), 2);
}

TEST(JsonDocument, NumbersAreClamped) {
  auto doc = Parsed(
      R"([9007199254740991,1e300,-1e300,1e999,0.9,-0.9,9223372036854775807,-9223372036854775808])");
  EXPECT_EQ(doc.root().at(0).integer(), 9007199254740991);
  EXPECT_EQ(doc.root().at(1).integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(doc.root().at(2).integer(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(doc.root().at(3).integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(doc.root().at(4).integer(), 0);
  EXPECT_EQ(doc.root().at(5).integer(), 0);
  EXPECT_EQ(doc.root().at(6).integer(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(doc.root().at(7).integer(), std::numeric_limits<int64_t>::min());
}

TEST(JsonDocument, RefusesMalformedText) {
  for (std::string_view bad : {"",      " ",       "{",     "}",     "[1,]",        "{\"a\":1,}",
                               "{a:1}", "{\"a\"}", "nul",   "truex", "\"",          "\"\\x\"",
                               "'a'",   "[1 2]",   "{} {}", "1 2",   "[\"\\u12\"]", "[\"\\ud800\"]",
                               "-",     "\x01"}) {
    auto result = JsonDocument::Parse(bad, "file");
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), Errc::kInvalid);
    EXPECT_TRUE(result.error().message().starts_with("file is not valid JSON"))
        << result.error().message();
  }
  EXPECT_NE(JsonDocument::Parse("{} x", "f").error().message().find("at byte 2"),
            std::string::npos);
}

TEST(JsonDocument, RefusesWhatWouldCutStrings) {
  EXPECT_FALSE(JsonDocument::Parse("[\"a\\u0000b\"]", "f"));
  EXPECT_FALSE(JsonDocument::Parse(std::string_view("[\"a\0b\"]", 7), "f"));
  EXPECT_FALSE(JsonDocument::Parse("[\"a\nb\"]", "f"));
  EXPECT_FALSE(JsonDocument::Parse(std::string_view("{\0}", 3), "f"));
  EXPECT_EQ(Parsed("[\"a\\\\u0000b\"]").root().at(0).str(), "a\\u0000b");
}

TEST(JsonDocument, DepthIsLimited) {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(JsonDocument::Parse(nested(128), "f"));
  EXPECT_FALSE(JsonDocument::Parse(nested(129), "f"));
  EXPECT_FALSE(JsonDocument::Parse(std::string(1'000'000, '['), "f"));
  std::string objects;
  for (int i = 0; i < 200; ++i) {
    objects += "{\"a\":";
  }
  EXPECT_FALSE(JsonDocument::Parse(objects, "f"));
  // Brackets in strings do not count, siblings do not add up.
  EXPECT_TRUE(JsonDocument::Parse(Cat("[\"", std::string(1000, '['), "\\\"[\"]"), "f"));
  std::string siblings = "[";
  for (int i = 0; i < 1000; ++i) {
    siblings += "[],";
  }
  EXPECT_TRUE(JsonDocument::Parse(siblings + "[]]", "f"));
  EXPECT_EQ(Parsed(nested(128)).root().Dump(), nested(128));
}

TEST(JsonDocument, TextNeedNotEndWithNul) {
  std::string text = "[1,2]garbage";
  EXPECT_TRUE(JsonDocument::Parse(std::string_view(text).substr(0, 5), "f"));
  std::string number = "1234";
  EXPECT_EQ(JsonDocument::Parse(std::string_view(number).substr(0, 2), "f")->root().integer(), 12);
}

TEST(JsonDocument, Moves) {
  auto a = Parsed(R"({"a":1})");
  JsonDocument b = std::move(a);
  EXPECT_EQ(b["a"].integer(), 1);
  b = Parsed(R"({"a":2})");
  EXPECT_EQ(b["a"].integer(), 2);
  EXPECT_FALSE(a["a"]);  // NOLINT(bugprone-use-after-move)
}

TEST(JsonDocument, DumpRoundTrip) {
  constexpr std::string_view kText =
      R"({"a":[1,-2,true,false,null,"x\"\\\n\u0001é",1.5,0.1,1e+100,9007199254740992],"o":{},"e":[]})";
  EXPECT_EQ(
      Parsed(kText).root().Dump(),
      R"({"a":[1,-2,true,false,null,"x\"\\\n\u0001é",1.5,0.1,1e+100,9007199254740992],"o":{},"e":[]})");
  std::string again = Parsed(kText).root().Dump();
  EXPECT_EQ(Parsed(again).root().Dump(), again);
}

TEST(JsonWriter, BuildsNestedDocuments) {
  JsonWriter w;
  w.Object().Key("Id").String("x").Key("Ports").Array().End().Field("N", -1).Field("U",
                                                                                   ~uint64_t{0});
  w.Field("B", true)
      .Field("L", std::vector<std::string>{"a", "b"})
      .Key("Z")
      .Null()
      .Key("R")
      .Raw("[1]");
  w.Key("A")
      .Array()
      .Object()
      .End()
      .Array()
      .Int(1)
      .Int(2)
      .End()
      .Bool(false)
      .End()
      .Field("C", "c")
      .End();
  EXPECT_EQ(
      w.Take(),
      R"({"Id":"x","Ports":[],"N":-1,"U":18446744073709551615,"B":true,"L":["a","b"],"Z":null,"R":[1],"A":[{},[1,2],false],"C":"c"})");
  EXPECT_EQ(w.Array().Take(), "[");
}

TEST(JsonWriter, EscapesAndRepairsUtf8) {
  auto text = [](std::string_view value) {
    std::string out;
    AppendJsonString(out, value);
    return out;
  };
  EXPECT_EQ(text("a\"b\\c\b\f\n\r\t\x01\x1f\x7f"),
            "\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(text(std::string_view("\0", 1)), "\"\\u0000\"");
  EXPECT_EQ(text("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\xB3"),
            "\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\xB3\"");
  constexpr std::string_view kBad[] = {"\x80",
                                       "\xC0\x80",
                                       "\xC1\xBF",
                                       "\xC3",
                                       "\xE2\x82",
                                       "\xE0\x80\x80",
                                       "\xED\xA0\x80",
                                       "\xF0\x80\x80\x80",
                                       "\xF4\x90\x80\x80",
                                       "\xF5\x80\x80\x80",
                                       "\xFF"};
  for (std::string_view bad : kBad) {
    std::string out = text(Cat("<", bad, ">"));
    EXPECT_TRUE(out.starts_with("\"<\xEF\xBF\xBD")) << out;
    EXPECT_TRUE(out.ends_with("\xEF\xBF\xBD>\"")) << out;
    EXPECT_TRUE(JsonDocument::Parse(out, "f"));
  }
  // Only what is broken is replaced.
  EXPECT_EQ(text("\xC3(\xC3\xA9"), "\"\xEF\xBF\xBD(\xC3\xA9\"");
}

TEST(JsonWriter, CopiesParsedValues) {
  auto doc = Parsed(R"({"a":{"b":[1,"x"]}})");
  EXPECT_EQ(JsonWriter().Object().Field("v", doc["a"]).Field("none", doc["zz"]).End().Take(),
            R"({"v":{"b":[1,"x"]},"none":null})");
}

}  // namespace
}  // namespace wherry
