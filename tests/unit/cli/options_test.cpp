#include "cli/options.h"

#include <gtest/gtest.h>

#include <set>

#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/create_request.h"
#include "core/base/json.h"

namespace wherry::cli {
namespace {

constexpr Option kTable[] = {
    {"all", 'a', OptionKind::kFlag, "", ""},
    {"env", 'e', OptionKind::kList, "X", ""},
    {"name", 'n', OptionKind::kValue, "X", ""},
};

Result<Arguments> Parse(std::vector<std::string> words,
                        Positional positional = Positional::kMixed) {
  return ParseArguments(kTable, words, positional);
}

TEST(Options, EveryForm) {
  auto arguments =
      Parse({"--name", "a", "-e", "1", "-e2", "--env=3", "-ae", "4", "x", "--name=b", "y"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_EQ(arguments->Value("name"), "b");
  EXPECT_EQ(arguments->List("env"), (std::vector<std::string>{"1", "2", "3", "4"}));
  EXPECT_TRUE(arguments->Flag("all"));
  EXPECT_EQ(arguments->positional(), (std::vector<std::string>{"x", "y"}));
}

TEST(Options, EndAtTheImage) {
  auto arguments = Parse({"-a", "image", "ls", "-a", "--env", "x"}, Positional::kEndsOptions);
  ASSERT_TRUE(arguments);
  EXPECT_EQ(arguments->positional(), (std::vector<std::string>{"image", "ls", "-a", "--env", "x"}));
  EXPECT_EQ(Parse({"--", "-a"})->positional(), std::vector<std::string>{"-a"});
  EXPECT_EQ(Parse({"-"})->positional(), std::vector<std::string>{"-"});
}

TEST(Options, ErrorsNameTheOption) {
  for (auto words : std::vector<std::vector<std::string>>{
           {"--nme"}, {"-z"}, {"--name"}, {"-n"}, {"--all=maybe"}}) {
    auto arguments = Parse(words);
    ASSERT_FALSE(arguments) << words[0];
    EXPECT_EQ(arguments.error().code(), Errc::kInvalid);
  }
  EXPECT_FALSE(Parse({"--all=false"})->Flag("all"));
}

TEST(Commands, HelpNamesEveryOptionOnce) {
  for (const Command& command : Commands()) {
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const Option& option : command.options()) {
      EXPECT_TRUE(names.insert(option.name).second) << command.name << " --" << option.name;
      bool letter_is_new = option.letter == 0 || letters.insert(option.letter).second;
      EXPECT_TRUE(letter_is_new) << command.name << " -" << option.letter;
      EXPECT_EQ(option.kind == OptionKind::kFlag, option.metavar.empty())
          << command.name << " --" << option.name;
      EXPECT_FALSE(option.help.empty());
    }
  }
}

JsonDocument Body(std::vector<std::string> words) {
  auto arguments = ParseArguments(CreateOptions(), words, Positional::kEndsOptions);
  EXPECT_TRUE(arguments);
  auto body = CreateBody(*arguments, true);
  EXPECT_TRUE(body) << body.error().message();
  return std::move(*JsonDocument::Parse(*body, "body"));
}

TEST(CreateRequest, DescribesTheContainer) {
  auto body = Body({"-i",          "-t",           "-e",
                    "A=b",         "-m",           "64m",
                    "--cpus",      "1.5",          "-v",
                    "/a:/b:ro",    "--tmpfs",      "/t:size=1m",
                    "-w",          "/w",           "--user",
                    "1000",        "--cap-drop",   "ALL",
                    "--read-only", "--ulimit",     "nofile=10:20",
                    "--rm",        "--entrypoint", "/bin/sh",
                    "--network",   "host",         "-l",
                    "x=y",         "--device",     "/dev/null:/dev/x:r",
                    "image:1",     "echo",         "-n"});
  EXPECT_EQ(body["Image"].str(), "image:1");
  EXPECT_EQ(body["Cmd"].strings(), (std::vector<std::string>{"echo", "-n"}));
  EXPECT_EQ(body["Entrypoint"].strings(), std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(body["Env"].strings(), std::vector<std::string>{"A=b"});
  EXPECT_TRUE(body["Tty"].boolean() && body["OpenStdin"].boolean() && body["StdinOnce"].boolean());
  EXPECT_EQ(body["Labels"]["x"].str(), "y");
  JsonValue host = body["HostConfig"];
  EXPECT_EQ(host["Memory"].integer(), 64 << 20);
  EXPECT_EQ(host["NanoCpus"].integer(), 1'500'000'000);
  EXPECT_EQ(host["Binds"].strings(), std::vector<std::string>{"/a:/b:ro"});
  EXPECT_EQ(host["Tmpfs"]["/t"].str(), "size=1m");
  EXPECT_EQ(host["Ulimits"].at(0)["Hard"].integer(), 20);
  EXPECT_TRUE(host["AutoRemove"].boolean() && host["ReadonlyRootfs"].boolean());
  EXPECT_EQ(host["Devices"].at(0)["CgroupPermissions"].str(), "r");
}

TEST(CreateRequest, WrongValuesNameTheOption) {
  for (auto words :
       std::vector<std::vector<std::string>>{{"-m", "many", "i"},
                                             {"--cpus", "x", "i"},
                                             {"--ulimit", "n", "i"},
                                             {"--mount", "type=bind", "i"},
                                             {"--pids-limit", "1k", "i"},
                                             {"--mount", "type=bind,target=/x,color=red", "i"}}) {
    auto arguments = ParseArguments(CreateOptions(), words, Positional::kEndsOptions);
    ASSERT_TRUE(arguments);
    auto body = CreateBody(*arguments, false);
    ASSERT_FALSE(body) << words[0];
    EXPECT_NE(body.error().message().find(words[0].starts_with("--") ? words[0] : "--memory"),
              std::string::npos)
        << body.error().message();
  }
}

TEST(DetachKeys, HeldBackUntilComplete) {
  auto keys = DetachKeys::Parse("");
  ASSERT_TRUE(keys);
  std::string bytes = "a\x10";
  EXPECT_FALSE(keys->Filter(bytes));
  EXPECT_EQ(bytes, "a");
  bytes = "b";
  EXPECT_FALSE(keys->Filter(bytes));
  EXPECT_EQ(bytes,
            "\x10"
            "b")
      << "what was held back is sent when the sequence breaks";
  bytes = "x\x10\x10\x11y";
  EXPECT_TRUE(keys->Filter(bytes));
  EXPECT_EQ(bytes, "x\x10");
  EXPECT_FALSE(DetachKeys::Parse("ctrl-"));
  EXPECT_FALSE(DetachKeys::Parse("abc"));
}

}  // namespace
}  // namespace wherry::cli
