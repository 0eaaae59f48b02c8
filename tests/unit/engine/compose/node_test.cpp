#include "engine/compose/node.h"

#include <gtest/gtest.h>

namespace wherry::compose {
namespace {

Node Parse(std::string_view text) {
  auto node = ParseYaml(text, "f", 0);
  EXPECT_TRUE(node) << node.error().message();
  return node ? std::move(*node) : Node();
}

std::string ProblemOf(std::string_view text) {
  auto node = ParseYaml(text, "f", 0);
  return node ? std::string() : node.error().message();
}

TEST(Yaml, KnowsLinesAndKinds) {
  Node root = Parse("# first\na: 1\nb:\n  - x\n  - 'true'\n  - ~\n  -\nc: {d: [e]}\n");
  ASSERT_TRUE(root.IsMap());
  EXPECT_EQ(root.keys, (std::vector<std::string>{"a", "b", "c"}));
  const Node& list = *root.Find("b");
  ASSERT_TRUE(list.IsList());
  EXPECT_EQ(list.items[0].line, 4U);
  EXPECT_FALSE(list.items[0].quoted);
  EXPECT_TRUE(list.items[1].quoted);
  EXPECT_TRUE(list.items[2].IsNull());
  EXPECT_TRUE(list.items[3].IsNull());
  EXPECT_EQ(root.Find("c")->Find("d")->items[0].text, "e");
  EXPECT_EQ(root.Find("none"), nullptr);
  EXPECT_TRUE(Parse("").IsMap());
  EXPECT_TRUE(Parse("# only a comment\n---\n").IsMap());
}

TEST(Yaml, BlocksAreText) {
  Node root = Parse("a: |\n  one\n  two\nb: >-\n  three\n  four\n");
  EXPECT_EQ(root.Find("a")->text, "one\ntwo\n");
  EXPECT_EQ(root.Find("b")->text, "three four");
}

TEST(Yaml, AnchorsAndMergeKeys) {
  Node root = Parse(
      "x-a: &a {image: x, tty: true}\nx-b: &b {image: y, init: true}\n"
      "one: {<<: *a, tty: false}\ntwo: {<<: [*a, *b]}\n");
  EXPECT_EQ(root.Find("one")->Find("tty")->text, "false");
  EXPECT_EQ(root.Find("one")->Find("image")->text, "x");
  EXPECT_EQ(root.Find("two")->Find("image")->text, "x");
  EXPECT_EQ(root.Find("two")->Find("init")->text, "true");
  EXPECT_EQ(ProblemOf("a: *b\n"), "f:1: the alias *b has no anchor before it");
  EXPECT_EQ(ProblemOf("a: &a [*a]\n"), "f:1: the alias *a has no anchor before it");
  EXPECT_EQ(ProblemOf("a: {<<: 1}\n"), "f:1: << takes a map or a list of maps");
}

TEST(Yaml, RefusesWhatIsMalformed) {
  EXPECT_EQ(ProblemOf("a: 1\nb: 2\na: 3\n"), "f:3: the key a is there twice, first in line 1");
  EXPECT_TRUE(ProblemOf("a: [\n").starts_with("f:2: not valid YAML")) << ProblemOf("a: [\n");
  EXPECT_TRUE(ProblemOf("a: 1\n\tb: 2\n").starts_with("f:2: not valid YAML"));
  EXPECT_EQ(ProblemOf("a: 1\n---\nb: 2\n"), "f:2: the file has a second document");
  EXPECT_EQ(ProblemOf("? [a]\n: b\n"), "f:1: the key of a map must be a word");
  EXPECT_EQ(ProblemOf("a: !lua x\n"), "f:1: the tag !lua is not supported");
  EXPECT_NE(ProblemOf(std::string_view("a: \0b", 5)), "");
  EXPECT_NE(ProblemOf("a: \xff\xfe\n"), "");
}

TEST(Yaml, IsBounded) {
  std::string deep;
  for (int i = 0; i < 100; ++i)
    deep += '[';
  EXPECT_NE(ProblemOf("a: " + deep).find("nested deeper"), std::string::npos);
  EXPECT_NE(ProblemOf(std::string(kMaxFileBytes + 1, '#')), "");

  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k)
      laughs += before + ", ";
    laughs += "]\n";
  }
  EXPECT_NE(ProblemOf(laughs).find("too much"), std::string::npos);

  // Anchors around anchors are copies of copies.
  std::string nested = "a: ";
  for (int i = 0; i < 60; ++i)
    nested += "&n" + std::to_string(i) + " [";
  for (int i = 0; i < 5000; ++i)
    nested += "x,";
  nested += std::string(60, ']');
  EXPECT_NE(ProblemOf(nested).find("too much"), std::string::npos);

  std::string keys;
  for (int i = 0; i < 3000; ++i)
    keys += "k" + std::to_string(i) + ": 1\n";
  EXPECT_NE(ProblemOf(keys).find("more than 2000 keys"), std::string::npos);
}

TEST(Yaml, WrittenTextIsReadAsTheSame) {
  Node root = Parse(
      "a: 1\nb: '1'\nc: 'null'\nd: null\ne: {}\nf: []\ng: [[1, 2], {h: i, j: [k]}]\n"
      "'odd: key': 'x: y # z'\nm: |\n  lines\n   more\nn: 'true'\no: '- x'\np: \"\\u00e4\"\nq: "
      "''\n");
  std::string text = WriteYaml(root);
  Node again = Parse(text);
  EXPECT_EQ(WriteYaml(again), text);
  EXPECT_EQ(again.keys, root.keys);
  EXPECT_TRUE(again.Find("d")->IsNull());
  EXPECT_TRUE(again.Find("b")->quoted);
  EXPECT_FALSE(again.Find("a")->quoted);
  EXPECT_EQ(again.Find("m")->text, "lines\n more\n");
  EXPECT_EQ(again.Find("g")->items[1].Find("j")->items[0].text, "k");
}

}  // namespace
}  // namespace wherry::compose
