#include "engine/build/instruction.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::build {
namespace {

Result<Instruction> Parse(std::string_view text) {
  auto dockerfile = TRY(ParseDockerfile(text));
  return ParseInstruction(dockerfile.statements.back());
}

// The instruction of that text, which has to be a T.
template <class T>
T Get(std::string_view text) {
  auto instruction = Parse(text);
  EXPECT_TRUE(instruction) << text << ": " << instruction.error().message();
  const T* found = instruction ? std::get_if<T>(&instruction->what) : nullptr;
  EXPECT_NE(found, nullptr) << text;
  return found != nullptr ? *found : T();
}

TEST(Instruction, CopyAndAdd) {
  Copy copy = Get<Copy>(
      "COPY --from=build --chown=1:2 --chmod=644 --link --parents --exclude=*.md --exclude=b a b "
      "/dest/");
  EXPECT_EQ(copy.from, "build");
  EXPECT_EQ(copy.sources.chown, "1:2");
  EXPECT_EQ(copy.sources.chmod, "644");
  EXPECT_TRUE(copy.sources.link);
  EXPECT_TRUE(copy.parents);
  EXPECT_EQ(Join(copy.sources.exclude, "|"), "*.md|b");
  EXPECT_EQ(Join(copy.sources.paths, "|"), "a|b");
  EXPECT_EQ(copy.sources.destination, "/dest/");
  Add add = Get<Add>("ADD --keep-git-dir=false --checksum=sha256:1 --unpack [\"a b\", \"c\"]");
  EXPECT_EQ(add.keep_git_dir, false);
  EXPECT_EQ(add.unpack, true);
  EXPECT_EQ(add.checksum, "sha256:1");
  EXPECT_EQ(add.sources.paths[0], "a b");
}

TEST(Instruction, CopyOfHeredocs) {
  Copy copy = Get<Copy>("COPY <<x a <<x /d/\nfirst\nx\nsecond\nx\n");
  ASSERT_EQ(copy.sources.files.size(), 2u);
  EXPECT_EQ(copy.sources.files[0].content, "first\n");
  EXPECT_EQ(copy.sources.files[1].content, "second\n");
  EXPECT_EQ(Join(copy.sources.paths, "|"), "a");
}

TEST(Instruction, From) {
  From from = Get<From>("FROM --platform=$BUILDPLATFORM a:1 As Build_1.x");
  EXPECT_EQ(from.image, "a:1");
  EXPECT_EQ(from.name, "build_1.x");
  EXPECT_EQ(from.platform, "$BUILDPLATFORM");
}

TEST(Instruction, Healthcheck) {
  EXPECT_EQ(Join(Get<Healthcheck>("HEALTHCHECK none").test, "|"), "NONE");
  Healthcheck check = Get<Healthcheck>(
      "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0s --start-interval=1s "
      "--retries=3 cmd curl -f x || exit 1");
  EXPECT_EQ(Join(check.test, "|"), "CMD-SHELL|curl -f x || exit 1");
  EXPECT_EQ(check.interval, std::chrono::seconds(90));
  EXPECT_EQ(check.timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(check.start_interval, std::chrono::seconds(1));
  EXPECT_EQ(check.retries, 3);
  EXPECT_EQ(Join(Get<Healthcheck>("HEALTHCHECK CMD [\"a\", \"b\"]").test, "|"), "CMD|a|b");
}

TEST(Instruction, CommandsKeepTheirForm) {
  build::Run run = Get<build::Run>("RUN --mount=type=cache,target=/c --network=none echo $x");
  EXPECT_TRUE(run.command.shell_form);
  EXPECT_EQ(run.command.words[0], "echo $x");
  EXPECT_EQ(run.mounts.size(), 1u);
  EXPECT_EQ(run.network, "none");
  EXPECT_FALSE(Get<Cmd>("CMD [\"a\"]").command.shell_form);
  EXPECT_TRUE(Get<Cmd>("CMD []").command.words.empty());
  EXPECT_EQ(Join(Get<Shell>("SHELL [\"/bin/bash\", \"-c\"]").words, " "), "/bin/bash -c");
}

TEST(Instruction, TheRest) {
  Arg arg = Get<Arg>("ARG a b= c=d=e");
  ASSERT_EQ(arg.definitions.size(), 3u);
  EXPECT_FALSE(arg.definitions[0].value);
  EXPECT_EQ(arg.definitions[1].value, "");
  EXPECT_EQ(arg.definitions[2].name, "c");
  EXPECT_EQ(arg.definitions[2].value, "d=e");
  EXPECT_EQ(Get<Env>("ENV a=1 b=2").variables[1].value, "2");
  EXPECT_EQ(Get<Label>("LABEL a \"b\"").labels[0].value, "\"b\"");
  EXPECT_EQ(Join(Get<Expose>("EXPOSE 90 80/udp").ports, "|"), "80/udp|90");
  EXPECT_EQ(Get<Maintainer>("MAINTAINER some one").name, "some one");
  EXPECT_EQ(Get<User>("USER a:b").user, "a:b");
  EXPECT_EQ(Get<StopSignal>("STOPSIGNAL SIGINT").signal, "SIGINT");
  EXPECT_EQ(Join(Get<Volume>("VOLUME /a /b").paths, "|"), "/a|/b");
  EXPECT_EQ(Get<Workdir>("WORKDIR a b").path, "a b");
  EXPECT_EQ(Get<Onbuild>("onbuild  run <<EOF\nx\nEOF\n").expression, "run <<EOF\nx\nEOF");
}

TEST(Instruction, Triggers) {
  auto trigger = ParseTrigger("run <<EOF\nx\nEOF");
  ASSERT_TRUE(trigger) << trigger.error().message();
  const auto* run = std::get_if<build::Run>(&trigger->what);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->files[0].content, "x\n");
  EXPECT_FALSE(ParseTrigger("RUN a\nRUN b"));
  EXPECT_FALSE(ParseTrigger("ONBUILD RUN a"));
  EXPECT_FALSE(ParseTrigger("FROM a"));
}

TEST(Instruction, Errors) {
  struct Case {
    std::string_view text;
    std::string_view problem;
  };
  constexpr Case kCases[] = {
      {"COPY a",
       "COPY requires at least two arguments, but only one was provided. Destination "
       "could not be determined"},
      {"COPY --user=x a b", "unknown flag: --user"},
      {"COPY --from a b", "missing a value on flag: --from"},
      {"COPY --link= a b", "missing a value on flag: --link"},
      {"COPY --link=2 a b", "expecting boolean value for flag --link, not: 2"},
      {"COPY --from=a --from=b a b", "duplicate flag specified: --from"},
      {"COPY --from=$x a b",
       "variable expansion is not supported for --from, define a new stage with FROM using ARG "
       "from global scope as a workaround"},
      {"COPY a <<x\nx\n", "COPY cannot accept a heredoc as a destination"},
      {"COPY <<../x b\n../x\n", "COPY: the heredoc ../x cannot be the name of a file"},
      {"MAINTAINER --boo joe", "unknown flag: --boo"},
      {"CMD --doit [\"a\"]", "unknown flag: --doit"},
      {"FROM a b", "FROM requires either one or three arguments"},
      {"FROM a AS 1b",
       "invalid name for build stage: \"1b\", name can't start with a number or "
       "contain symbols"},
      {"ONBUILD", "ONBUILD requires at least one argument"},
      {"ONBUILD FROM scratch", "FROM isn't allowed as an ONBUILD trigger"},
      {"ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"},
      {"ONBUILD COPY a",
       "ONBUILD: COPY requires at least two arguments, but only one was "
       "provided. Destination could not be determined"},
      {"ENV", "ENV requires at least one argument"},
      {"ENV =a", "ENV names can not be blank"},
      {"ARG =a", "ARG names can not be blank"},
      {"ARG", "ARG requires at least one argument"},
      {"EXPOSE", "EXPOSE requires at least one argument"},
      {"WORKDIR", "WORKDIR requires exactly one argument"},
      {"USER", "USER requires exactly one argument"},
      {"VOLUME [\"\"]", "VOLUME specified can not be an empty string"},
      {"SHELL bash -c", "SHELL requires the arguments to be in JSON form"},
      {"SHELL []", "SHELL requires at least one argument"},
      {"HEALTHCHECK", "HEALTHCHECK requires at least one argument"},
      {"HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"},
      {"HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"},
      {"HEALTHCHECK connect x", "Unknown type \"CONNECT\" in HEALTHCHECK (try CMD)"},
      {"HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms"},
      {"HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"},
      {"RUN --security=insecure x", "RUN --security is not supported"},
      {"RUN --device=x x", "RUN --device is not supported"},
      {"RUN --network=bridge x", "invalid network mode \"bridge\": it is default, none or host"},
      {"RUN --mount=type=nfs x", "unsupported mount type \"nfs\""},
      {"CMD [\"a\\u0000b\"]", "CMD: an argument contains a NUL character"},
  };
  for (const Case& row : kCases) {
    auto instruction = Parse(Cat("FROM x\n", row.text));
    ASSERT_FALSE(instruction) << row.text;
    EXPECT_EQ(instruction.error().message(),
              Cat("dockerfile parse error on line 2: ", row.problem));
  }
  EXPECT_EQ(Parse("RUN --security=insecure x").error().code(), Errc::kUnsupported);
}

}  // namespace
}  // namespace wherry::build
