#include "engine/compose/merge.h"

#include <gtest/gtest.h>

namespace wherry::compose {
namespace {

Node Parse(std::string_view text) {
  auto node = ParseYaml(text, "f", 0);
  EXPECT_TRUE(node) << node.error().message();
  return node ? std::move(*node) : Node();
}

// The service `a` of both files as one.
std::string Merged(const std::string& base, const std::string& over) {
  Node all = Parse("services: {a: {" + base + "}}");
  MergeFile(all, Parse("services: {a: {" + over + "}}"));
  DropResets(all);
  return WriteYaml(*all.Find("services")->Find("a"));
}

TEST(Merge, ReplacesAndAppends) {
  EXPECT_EQ(Merged("image: x, tty: true", "image: y"), "image: y\ntty: true\n");
  EXPECT_EQ(Merged("command: [a, b]", "command: [c]"), "command:\n  - c\n");
  EXPECT_EQ(Merged("command: a b", "command: [c]"), "command:\n  - c\n");
  EXPECT_EQ(Merged("ports: ['80', '81']", "ports: ['82', '81']"),
            "ports:\n  - \"80\"\n  - \"81\"\n  - \"82\"\n");
  EXPECT_EQ(Merged("dns: a", "dns: [b]"), "dns:\n  - a\n  - b\n");
  EXPECT_EQ(Merged("image: x", "image: "), "image: x\n");
}

TEST(Merge, PairsByName) {
  EXPECT_EQ(Merged("environment: [A=1, B=2, C]", "environment: {B: 3, D: }"),
            "environment:\n  A: \"1\"\n  B: 3\n  C: null\n  D: null\n");
  EXPECT_EQ(Merged("labels: {a: b}", "labels: [c=d=e]"), "labels:\n  a: b\n  c: d=e\n");
  EXPECT_EQ(Merged("build: .", "build: {target: t}"), "build:\n  context: .\n  target: t\n");
}

TEST(Merge, NamesAndTargets) {
  EXPECT_EQ(Merged("networks: [n]", "networks: {m: {priority: 1}}"),
            "networks:\n  \"n\": null\n  m:\n    priority: 1\n");
  EXPECT_EQ(Merged("depends_on: [x]", "depends_on: {x: {condition: service_healthy}}"),
            "depends_on:\n  x:\n    condition: service_healthy\n");
  EXPECT_EQ(Merged("volumes: ['a:/a', 'b:/b']", "volumes: ['c:/a:ro', {type: tmpfs, target: /b}]"),
            "volumes:\n  - c:/a:ro\n  - type: tmpfs\n    target: /b\n");
}

TEST(Merge, TagsOfCompose) {
  EXPECT_EQ(Merged("ports: ['80'], tty: true", "ports: !reset [], tty: !reset null"), "{}\n");
  EXPECT_EQ(Merged("ports: ['80']", "ports: !override ['81']"), "ports:\n  - \"81\"\n");
  EXPECT_EQ(Merged("image: x", "ports: !reset ['80']"), "image: x\n");
}

TEST(Merge, AddsServices) {
  Node all = Parse("services: {a: {image: x}}\nvolumes: {v: }");
  MergeFile(all, Parse("services: {b: {image: y}}\nvolumes: {w: {name: n}}\nname: z"));
  EXPECT_EQ(
      WriteYaml(all),
      "services:\n  a:\n    image: x\n  b:\n    image: y\nvolumes:\n  v: null\n  w:\n    name: n\n"
      "name: z\n");
}

}  // namespace
}  // namespace wherry::compose
