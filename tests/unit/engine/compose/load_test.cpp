#include "engine/compose/load.h"

#include <gtest/gtest.h>

#include "tests/unit/engine/compose/loading.h"

namespace wherry::compose {
namespace {

TEST(Load, AllProblemsAtOnce) {
  EXPECT_EQ(ProblemOf("services:\n  web:\n    image: x\n    secrets: [a]\n    tty: 5\n"
                      "    x-mine: {any: thing}\nsecrets: {}\nx-more: 1\nversion: '3'\n"),
            "compose.yaml:4: services.web.secrets is not supported by wherry\n"
            "compose.yaml:5: services.web.tty must be true or false\n"
            "compose.yaml:7: secrets is not supported by wherry");
}

TEST(Load, Names) {
  auto name = [](const std::string& text, const std::string& given, Environment environment = {}) {
    auto loaded =
        LoadGiven({.texts = {text}, .environment = std::move(environment), .name = given});
    return loaded ? loaded->group.name : "error: " + loaded.error().message();
  };
  EXPECT_EQ(name("services: {}", ""), "shop");  // the directory's
  EXPECT_EQ(name("name: mine\nservices: {}", ""), "mine");
  EXPECT_EQ(name("name: mine\nservices: {}", "given"), "given");
  EXPECT_EQ(name("name: ${N}\nservices: {}", "", {{"N", "n"}}), "n");
  EXPECT_EQ(name("name: Bad Name\nservices: {}", ""),
            "error: compose.yaml:1: name must have lower case letters, digits, - and _ only");
  EXPECT_EQ(GroupName("My App_1"), "myapp_1");
  EXPECT_EQ(GroupName("_-x"), "x");
}

TEST(Load, VariablesInValuesOnly) {
  auto loaded = LoadGiven({.texts = {"services: {a: {image: '$I:${T-1}', labels: {$K: "
                                     "$COMPOSE_PROJECT_NAME}, scale: '${N}', tty: $X}}\n"
                                     "x-not: $Y"},
                           .environment = {{"I", "img"}, {"N", "3"}}});
  ASSERT_FALSE(loaded);  // tty is empty
  loaded = LoadGiven(
      {.texts =
           {"services: {a: {image: '$I:${T-1}', labels: {$K: $COMPOSE_PROJECT_NAME}, scale: '${N}',"
            " hostname: $X}}\nx-not: $Y"},
       .environment = {{"I", "img"}, {"N", "3"}}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  const Service& service = loaded->group.services[0];
  EXPECT_EQ(service.image, "img:1");
  EXPECT_EQ(service.labels.at("$K"), "shop");
  EXPECT_EQ(service.scale, 3);
  EXPECT_EQ(
      loaded->warnings,
      std::vector<std::string>{"compose.yaml:1: the variable X is not set; it is taken as empty"});
  auto required = LoadGiven({.texts = {"services:\n  a:\n    image: ${I:?no image}\n"}});
  ASSERT_FALSE(required);
  EXPECT_EQ(
      required.error().message(),
      "compose.yaml:3: services.a.image cannot be read: the variable I is required: no image");
}

TEST(Load, EnvironmentOfServices) {
  auto loaded = LoadGiven(
      {.texts = {"services: {a: {image: x, environment: {A: given, HOST: , GONE: , N: 5},\n"
                 " env_file: [one.env, {path: /abs/two.env}, {path: none.env, required: false}]}}"},
       .environment = {{"HOST", "h"}},
       .files = {{"/srv/shop/one.env", "A=file\nB=1\n"}, {"/abs/two.env", "B=2\nC=$HOST\n"}}});
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->group.services[0].environment,
            (Environment{{"A", "given"}, {"B", "2"}, {"C", "h"}, {"HOST", "h"}, {"N", "5"}}));
  std::string problem = ProblemOf("services:\n  a:\n    image: x\n    env_file: none.env\n");
  EXPECT_EQ(problem,
            "compose.yaml:4: services.a.env_file cannot be read: open(/srv/shop/none.env): No such "
            "file or directory");
  auto broken = LoadGiven({.texts = {"services: {a: {image: x, env_file: [b.env]}}"},
                           .files = {{"/srv/shop/b.env", "A='x"}}});
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message().find("line 1: the quote is not closed"), std::string::npos);
}

TEST(Load, MessagesNameTheFileOfEachLine) {
  auto loaded = LoadGiven({.texts = {"services: {a: {image: x, ports: [y]}}",
                                     "services:\n  a:\n    ports: [z]\n    tty: q\n"}});
  ASSERT_FALSE(loaded);
  std::string message = loaded.error().message();
  EXPECT_NE(message.find("compose.yaml:1: services.a.ports[0]"), std::string::npos) << message;
  EXPECT_NE(message.find("more1.yaml:3: services.a.ports[1]"), std::string::npos) << message;
  EXPECT_NE(message.find("more1.yaml:4: services.a.tty"), std::string::npos) << message;
}

TEST(Load, TopLevelResources) {
  Group group = GroupOf(
      "services: {}\nnetworks:\n  n: {internal: true, driver_opts: {o: 1}, ipam: {config: "
      "[{subnet: 10.9.0.0/24}]}}\n"
      "  e: {external: true}\n  f: {external: {name: old}}\nvolumes:\n  v: {name: real}\n  w:\n  "
      "e: {external: true, name: there}\n");
  EXPECT_TRUE(group.networks[0].internal);
  EXPECT_EQ(group.networks[0].subnets[0].subnet, "10.9.0.0/24");
  EXPECT_EQ(group.networks[1].name, "e");
  EXPECT_EQ(group.networks[2].name, "old");
  EXPECT_EQ(group.volumes[0].name, "real");
  EXPECT_EQ(group.volumes[1].name, "shop_w");
  EXPECT_EQ(group.volumes[2].name, "there");
  EXPECT_TRUE(group.volumes[2].external);
  EXPECT_NE(ProblemOf("services: {}\nnetworks: {n: {enable_ipv6: true}}"), "");
  EXPECT_NE(ProblemOf("services: {}\nnetworks: [n]"), "");
  EXPECT_NE(ProblemOf("services: [a]"), "");
  EXPECT_NE(ProblemOf("[a]"), "");
  EXPECT_NE(ProblemOf("services: {'a b': {image: x}}"), "");
}

TEST(Load, IsBounded) {
  std::string many = "services:\n";
  for (int i = 0; i < 600; ++i)
    many += "  s" + std::to_string(i) + ": {image: x}\n";
  EXPECT_NE(ProblemOf(many).find("more than 500 services"), std::string::npos);
  std::string text = "services: {a: {image: x, command: [";
  for (int i = 0; i < 100; ++i)
    text += "$BIG, ";
  auto loaded =
      LoadGiven({.texts = {text + "]}}"}, .environment = {{"BIG", std::string(100 << 10, 'x')}}});
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message().find("longer than 4 MiB"), std::string::npos);
}

}  // namespace
}  // namespace wherry::compose
