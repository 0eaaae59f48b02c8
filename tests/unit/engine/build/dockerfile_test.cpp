#include "engine/build/dockerfile.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace wherry::build {
namespace {

// "KEYWORD@first-last [flags] word|word" a line; "error: ..." otherwise.
std::string Parse(std::string_view text) {
  auto dockerfile = ParseDockerfile(text);
  if (!dockerfile)
    return "error: " + dockerfile.error().message();
  std::string out;
  for (const Statement& statement : dockerfile->statements) {
    Append(out, KeywordName(statement.keyword), "@", statement.first_line, "-",
           statement.last_line);
    if (!statement.flags.empty())
      Append(out, " [", Join(statement.flags, "|"), "]");
    Append(out, statement.json ? " json " : " ", Join(statement.words, "|"), "\n");
  }
  return out;
}

Heredoc OnlyHeredoc(std::string_view text) {
  auto dockerfile = ParseDockerfile(text);
  EXPECT_TRUE(dockerfile) << dockerfile.error().message();
  if (!dockerfile || dockerfile->statements.back().heredocs.size() != 1) {
    ADD_FAILURE() << "not one heredoc in " << text;
    return {};
  }
  return dockerfile->statements.back().heredocs[0];
}

TEST(Dockerfile, LinesAndNumbers) {
  EXPECT_EQ(Parse("\n# comment\nfrom a\n\n  RuN one \\\n# inside\n\n  two \\  \n three\n"
                  "CMD [ \"a\" , \"b c\" ]\r\nUSER x\r\n"),
            "FROM@3-3 a\n"
            "RUN@5-9 one   two  three\n"
            "CMD@10-10 json a|b c\n"
            "USER@11-11 x\n");
  EXPECT_EQ(Parse("\xEF\xBB\xBF"
                  "FROM a"),
            "FROM@1-1 a\n");
  EXPECT_EQ(Parse("FROM a\\"), "FROM@1-1 a\n");
  EXPECT_EQ(Parse("FROM a\nWORKDIR c:\\\\\nUSER b"),
            "FROM@1-1 a\nWORKDIR@2-2 c:\\\\\nUSER@3-3 b\n");
}

TEST(Dockerfile, Directives) {
  auto dockerfile = ParseDockerfile(
      "# syntax=docker/dockerfile:1.7\n#check=skip=all\n# Escape = `\nFROM a `\n b\n");
  ASSERT_TRUE(dockerfile) << dockerfile.error().message();
  EXPECT_EQ(dockerfile->syntax, "docker/dockerfile:1.7");
  EXPECT_EQ(dockerfile->escape, '`');
  EXPECT_EQ(dockerfile->statements.size(), 1u);
  EXPECT_TRUE(ParseDockerfile("# syntax=docker.io/docker/dockerfile-upstream@sha256:1\nFROM a"));
  EXPECT_EQ(Parse("# syntax=x/y:1\nFROM a"),
            "error: dockerfile parse error on line 1: the syntax x/y:1 is not supported; only "
            "docker/dockerfile is");
  EXPECT_EQ(
      Parse("#escape=`\n#escape=`\nFROM a"),
      "error: dockerfile parse error on line 2: only one escape parser directive can be used");
  EXPECT_EQ(Parse("# escape=x\nFROM a"),
            "error: dockerfile parse error on line 1: invalid escape token 'x' does not match ` or "
            "\\");
  // Only above everything else.
  EXPECT_EQ(Parse("# about this file\n# escape=`\nFROM a\\\nb"), "FROM@3-4 ab\n");
  EXPECT_EQ(Parse("\n# escape=`\nFROM a\\\nb"), "FROM@3-4 ab\n");
}

TEST(Dockerfile, Flags) {
  EXPECT_EQ(Parse("COPY --from=x --chown='a b':\"c\" --link -- --src /d"),
            "COPY@1-1 [--from=x|--chown=a b:c|--link] --src|/d\n");
  EXPECT_EQ(Parse("RUN --mount=type=cache,target=/a\\ b cmd --flag"),
            "RUN@1-1 [--mount=type=cache,target=/a b] cmd --flag\n");
  EXPECT_EQ(Parse("HEALTHCHECK --interval=5s CMD [\"x\"]"),
            "HEALTHCHECK@1-1 [--interval=5s] json CMD|x\n");
}

TEST(Dockerfile, JsonForm) {
  EXPECT_EQ(Parse(R"(CMD ["\u00e9\ud83d\ude00\n"])"), "CMD@1-1 json é😀\n\n");
  EXPECT_EQ(Parse("CMD [\"a\",]"), "CMD@1-1 [\"a\",]\n");
  EXPECT_EQ(Parse("CMD [\"a\"] && x"), "CMD@1-1 [\"a\"] && x\n");
  EXPECT_EQ(Parse("CMD [\"a\"] [\"b\"]"), "CMD@1-1 [\"a\"] [\"b\"]\n");
  EXPECT_EQ(Parse("VOLUME [ /a ]"), "VOLUME@1-1 [|/a|]\n");
  for (std::string_view list : {"[1]", "[\"a\", [\"b\"]]", "[{}]", "[null, \"x\"]"})
    EXPECT_EQ(Parse(Cat("CMD ", list)),
              "error: dockerfile parse error on line 1: when using JSON array syntax, arrays must "
              "be comprised of strings only");
}

TEST(Dockerfile, Pairs) {
  EXPECT_EQ(Parse("ENV a=1 b='x y' c=\"d=e\" f=g\\ h"),
            "ENV@1-1 a|1|=|b|'x y'|=|c|\"d=e\"|=|f|g\\ h|=\n");
  EXPECT_EQ(Parse("ENV name the  value=x"), "ENV@1-1 name|the  value=x|\n");
  EXPECT_EQ(Parse("FROM a\nENV PATH"),
            "error: dockerfile parse error on line 2: ENV must have two arguments");
  EXPECT_EQ(
      Parse("LABEL a=b c"),
      "error: dockerfile parse error on line 1: Syntax error - can't find = in \"c\". Must be "
      "of the form: name=value");
  EXPECT_EQ(Parse("ARG a b=c d=\"e f\""), "ARG@1-1 a|b=c|d=\"e f\"\n");
}

TEST(Dockerfile, Heredocs) {
  auto dockerfile = ParseDockerfile(
      "FROM a\n"
      "COPY --chmod=755 <<one <<-'two' /dest/\n"
      "# kept\n"
      "one\n"
      "\t\ttext $x\n"
      "\ttwo\n"
      "RUN 3<<EOF cat <<X\n"
      "EOF\n"
      "\\\n"
      "X\n"
      "ONBUILD RUN <<EOF\n"
      "echo\n"
      "EOF\n"
      "USER <<none\n");
  ASSERT_TRUE(dockerfile) << dockerfile.error().message();
  ASSERT_EQ(dockerfile->statements.size(), 5u);
  const Statement& copy = dockerfile->statements[1];
  ASSERT_EQ(copy.heredocs.size(), 2u);
  EXPECT_EQ(copy.heredocs[0].content, "# kept\n");
  EXPECT_TRUE(copy.heredocs[0].expand);
  EXPECT_EQ(copy.heredocs[1].name, "two");
  EXPECT_EQ(copy.heredocs[1].content, "\t\ttext $x\n");
  EXPECT_EQ(copy.heredocs[1].Text(), "text $x\n");
  EXPECT_FALSE(copy.heredocs[1].expand);
  EXPECT_EQ(copy.last_line, 6);
  const Statement& run = dockerfile->statements[2];
  ASSERT_EQ(run.heredocs.size(), 2u);
  EXPECT_EQ(run.heredocs[0].content, "");
  EXPECT_EQ(run.heredocs[1].content, "\\\n");
  EXPECT_EQ(dockerfile->statements[3].heredocs.size(), 1u);
  EXPECT_EQ(dockerfile->statements[4].words[0], "<<none");
}

TEST(Dockerfile, HeredocDelimiters) {
  struct Case {
    std::string_view text;
    std::string_view name;
    bool expand;
  };
  constexpr Case kCases[] = {
      {"RUN <<eo'f'\neof\n", "eof", false},      {"RUN <<eo\\'f\neo'f\n", "eo'f", true},
      {"RUN <<'e'o\\'f\neo'f\n", "eo'f", false}, {"RUN <<'one two'\none two\n", "one two", false},
      {"RUN <<$EOF\n$EOF\n", "$EOF", true},      {"RUN <<  EOF  > foo\nEOF\n", "EOF", true},
      {"RUN <<EOF\nEOF\r\n", "EOF", true},       {"RUN <<EOF\nEOF", "EOF", true},
  };
  for (const Case& row : kCases) {
    Heredoc heredoc = OnlyHeredoc(row.text);
    EXPECT_EQ(heredoc.name, row.name);
    EXPECT_EQ(heredoc.expand, row.expand) << row.text;
    EXPECT_EQ(heredoc.content, "");
  }
  for (std::string_view none : {"RUN \"<<EOF\"", "RUN [\"<<EOF\"]", "RUN a <<<b", "RUN <<\"x"}) {
    auto dockerfile = ParseDockerfile(none);
    ASSERT_TRUE(dockerfile) << none;
    EXPECT_TRUE(dockerfile->statements[0].heredocs.empty()) << none;
  }
  EXPECT_EQ(Parse("FROM a\nRUN <<EOF\nEOF x\n"),
            "error: dockerfile parse error on line 2: unterminated heredoc: no line \"EOF\" "
            "follows");
}

TEST(Dockerfile, Errors) {
  EXPECT_EQ(Parse(""), "error: the Dockerfile cannot be empty");
  EXPECT_EQ(Parse("# a\n\n"), "error: file with no instructions");
  EXPECT_EQ(Parse("FROM a\n\nfoo bar\n"),
            "error: dockerfile parse error on line 3: unknown instruction: foo");
  EXPECT_EQ(Parse("ONBUILD ONBUILD RUN x"),
            "error: dockerfile parse error on line 1: Chaining ONBUILD via `ONBUILD ONBUILD` isn't "
            "allowed");
  EXPECT_EQ(Parse("ONBUILD FOO x"),
            "error: dockerfile parse error on line 1: unknown instruction: FOO");
  EXPECT_EQ(Parse(std::string_view("FROM a\nRUN \0", 12)),
            "error: dockerfile parse error on line 2: the line contains a NUL character");
}

TEST(Dockerfile, Bounds) {
  EXPECT_EQ(
      Parse("RUN " + std::string(kMaxLineBytes, 'x')),
      "error: dockerfile parse error on line 1: dockerfile line greater than max allowed size "
      "of 65535");
  std::string many;
  for (size_t i = 0; i < kMaxStatements; ++i)
    many += "USER a\n";
  EXPECT_TRUE(ParseDockerfile(many));
  EXPECT_EQ(Parse(many + "USER a\n"),
            "error: dockerfile parse error on line 4097: more than 4096 instructions");
  std::string long_file((kMaxDockerfileBytes / 2) + 1, '\n');
  EXPECT_EQ(Parse(long_file + long_file), "error: the Dockerfile is larger than 1048576 bytes");
  std::string words = "EXPOSE";
  for (size_t i = 0; i <= kMaxArguments; ++i)
    words += " 1";
  EXPECT_EQ(Parse(words),
            "error: dockerfile parse error on line 1: EXPOSE has more than 10000 arguments");
}

}  // namespace
}  // namespace wherry::build
