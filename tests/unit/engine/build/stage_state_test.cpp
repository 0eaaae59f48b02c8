#include "engine/build/stage_state.h"

#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::build {
namespace {

constexpr std::string_view kNow = "2026-01-02T03:04:05Z";
constexpr std::string_view kBase = R"({
  "architecture": "arm", "variant": "v7", "os": "linux", "author": "base",
  "config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["sh"], "WorkingDir": "/srv", "User": "1",
             "OnBuild": ["USER 7"], "Labels": {"a": "b"}, "Volumes": {"/v": {}},
             "Shell": ["/bin/ash", "-ec"]},
  "rootfs": {"type": "layers", "diff_ids":
    ["sha256:1111111111111111111111111111111111111111111111111111111111111111"]},
  "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}]})";

class StageStateTest : public testing::Test {
 protected:
  StageState FromBase() {
    auto base = ParseImageState(kBase);
    EXPECT_TRUE(base) << base.error().message();
    return StageState(std::move(*base), arguments_);
  }
  StageState FromScratch() { return StageState(ScratchImage({"linux", "arm64", ""}), arguments_); }

  // Applies every instruction of `text`; the error of the first that fails.
  static std::string Apply(StageState& stage, std::string_view text, Outcome outcome = {}) {
    auto dockerfile = ParseDockerfile(text);
    if (!dockerfile)
      return dockerfile.error().message();
    outcome.created = kNow;
    for (const Statement& statement : dockerfile->statements) {
      auto instruction = ParseInstruction(statement);
      if (!instruction)
        return instruction.error().message();
      auto expanded = stage.Expand(*instruction);
      if (!expanded)
        return expanded.error().message();
      auto applied = stage.Apply(*expanded, outcome);
      if (!applied)
        return applied.error().message();
    }
    return "";
  }

  static build::Run RunOf(std::string_view text) {
    auto dockerfile = ParseDockerfile(text);
    auto instruction = ParseInstruction(dockerfile->statements.back());
    EXPECT_TRUE(instruction) << instruction.error().message();
    return std::get<build::Run>(instruction->what);
  }

  static std::string LastHistory(const StageState& stage) {
    return stage.image().history.back().created_by;
  }

  BuildArguments arguments_;
};

TEST_F(StageStateTest, ChangesTheConfiguration) {
  StageState stage = FromScratch();
  EXPECT_EQ(Apply(stage,
                  "ENV A=1 B=$A\nENV B=${A}2 C=$B\nLABEL x=\"$A y\" z='$A'\nUSER u$A\n"
                  "WORKDIR /w\nWORKDIR sub/../$A\nVOLUME [\"/d$A\"]\nVOLUME /b\n"
                  "EXPOSE 80 $A-3/UDP 1.2.3.4:99:98\nSTOPSIGNAL SIG$C\nSTOPSIGNAL 9\n"
                  "MAINTAINER me\nONBUILD RUN $A\nSHELL [\"/bin/bash\", \"-c\"]\n"
                  "CMD echo $A\nENTRYPOINT [\"/e\"]\n"
                  "HEALTHCHECK --interval=5s --retries=2 CMD x $A\n"),
            "");
  auto json = WriteImageState(stage.image(), kNow);
  ASSERT_TRUE(json) << json.error().message();
  EXPECT_EQ(JsonDocument::Parse(*json, "image")->root()["config"].Dump(),
            R"({"ExposedPorts":{"1/udp":{},"2/udp":{},"3/udp":{},"80/tcp":{},"98/tcp":{}},)"
            R"("User":"u1","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:)"
            R"(/bin","A=1","B=12","C="],"Entrypoint":["/e"],"Cmd":["/bin/bash","-c","echo $A"],)"
            R"("Healthcheck":{"Test":["CMD-SHELL","x $A"],"Interval":5000000000,"Retries":2},)"
            R"("Volumes":{"/b":{},"/d1":{}},"WorkingDir":"/w/1","Labels":{"x":"1 y","z":"$A"},)"
            R"("OnBuild":["RUN $A"],"StopSignal":"9","Shell":["/bin/bash","-c"]})");
  EXPECT_EQ(stage.image().author, "me");
}

TEST_F(StageStateTest, KeepsWhatTheBaseHas) {
  StageState stage = FromBase();
  EXPECT_EQ(Join(stage.TakeTriggers(), "|"), "USER 7");
  EXPECT_TRUE(stage.TakeTriggers().empty());
  Outcome layer{.created = {}, .layer = Digest::Of("layer"), .sources = {}};
  EXPECT_EQ(Apply(stage, "RUN make", layer), "");
  auto json = WriteImageState(stage.image(), kNow);
  ASSERT_TRUE(json) << json.error().message();
  EXPECT_EQ(
      *json,
      Cat(R"({"architecture":"arm","variant":"v7","os":"linux","author":"base","created":")", kNow,
          R"(","config":{"User":"1","Env":["PATH=/bin","LANG=C"],"Cmd":["sh"],)"
          R"("Volumes":{"/v":{}},"WorkingDir":"/srv","Labels":{"a":"b"},)"
          R"("Shell":["/bin/ash","-ec"]},"rootfs":{"type":"layers","diff_ids":["sha256:)",
          std::string(64, '1'), "\",\"", Digest::Of("layer").string(),
          R"("]},"history":[{"created":"2020-01-01T00:00:00Z","created_by":"base"},)",
          R"({"created":")", kNow, R"(","created_by":"/bin/ash -ec make","author":"base"}]})"));
  EXPECT_TRUE(oci::ParseImageConfig(*json));
}

TEST_F(StageStateTest, EntrypointDropsTheBasesCommand) {
  StageState stage = FromBase();
  EXPECT_EQ(Apply(stage, "ENTRYPOINT [\"/e\"]"), "");
  EXPECT_TRUE(stage.image().config.cmd.empty());
  stage = FromBase();
  EXPECT_EQ(Apply(stage, "CMD [\"c\"]\nENTRYPOINT run $x"), "");
  EXPECT_EQ(Join(stage.image().config.cmd, "|"), "c");
  EXPECT_EQ(Join(stage.image().config.entrypoint, "|"), "/bin/ash|-ec|run $x");
  // CMD of the stage it is from counts as the base's.
  StageState next = stage.Next();
  EXPECT_EQ(Apply(next, "ENTRYPOINT []"), "");
  EXPECT_TRUE(next.image().config.cmd.empty());
  EXPECT_TRUE(next.image().config.entrypoint.empty());
}

TEST_F(StageStateTest, HistoryAsTheClassicBuilderWritesIt) {
  constexpr std::string_view kCases[][2] = {
      {"CMD [\"nginx\", \"-g\", \"daemon \\\"off\\\";\"]",
       "/bin/sh -c #(nop)  CMD [\"nginx\" \"-g\" \"daemon \\\"off\\\";\"]"},
      {"CMD echo hi", "/bin/sh -c #(nop)  CMD [\"/bin/sh\" \"-c\" \"echo hi\"]"},
      {"ENTRYPOINT [\"a\"]", "/bin/sh -c #(nop)  ENTRYPOINT [\"a\"]"},
      {"ENV a=1 b='2 3'", "/bin/sh -c #(nop)  ENV a=1 b=2 3"},
      {"LABEL a b", "/bin/sh -c #(nop)  LABEL a=b"},
      {"EXPOSE 80 443/tcp", "/bin/sh -c #(nop)  EXPOSE 443/tcp 80"},
      {"WORKDIR a", "/bin/sh -c #(nop) WORKDIR /a"},
      {"USER x", "/bin/sh -c #(nop)  USER x"},
      {"VOLUME /a /b", "/bin/sh -c #(nop)  VOLUME [/a /b]"},
      {"STOPSIGNAL SIGQUIT", "/bin/sh -c #(nop)  STOPSIGNAL SIGQUIT"},
      {"MAINTAINER me", "/bin/sh -c #(nop)  MAINTAINER me"},
      {"ONBUILD RUN x", "/bin/sh -c #(nop)  ONBUILD RUN x"},
      {"ARG a=$PATH b",
       "/bin/sh -c #(nop)  ARG a=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
       "/sbin:/bin b"},
      {"SHELL [\"/bin/bash\", \"-c\"]", "/bin/bash -c #(nop)  SHELL [/bin/bash -c]"},
      {"HEALTHCHECK --interval=90s --timeout=1500ms --start-period=2h --retries=3 CMD x",
       "/bin/sh -c #(nop)  HEALTHCHECK &{[\"CMD-SHELL\" \"x\"] \"1m30s\" \"1.5s\" \"2h0m0s\" "
       "\"0s\" "
       "'\\x03'}"},
      {"HEALTHCHECK NONE",
       "/bin/sh -c #(nop)  HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}"},
      {"RUN echo $x", "/bin/sh -c echo $x"},
      {"RUN [\"echo\", \"a b\"]", "echo a b"},
      {"COPY --chown=1:2 a b /c/", "/bin/sh -c #(nop) COPY --chown=1:2 multi:12 in /c/ "},
      {"ADD a /c", "/bin/sh -c #(nop) ADD multi:12 in /c "},
  };
  for (const auto& [text, wanted] : kCases) {
    StageState stage = FromScratch();
    EXPECT_EQ(Apply(stage, text, {.created = {}, .layer = {}, .sources = "multi:12"}), "");
    EXPECT_EQ(LastHistory(stage), wanted);
    EXPECT_TRUE(stage.image().history.back().empty_layer);
    EXPECT_EQ(stage.image().history.back().created, kNow);
  }
}

TEST_F(StageStateTest, ArgumentsAndTheirScope) {
  arguments_.given = {{"given", "G"}, {"HTTP_PROXY", "http://p"}, {"not_asked", "x"}};
  arguments_.global.Set("global", "1");
  arguments_.global.Set("TARGETARCH", "arm64");
  StageState stage = FromScratch();
  EXPECT_EQ(Apply(stage, "LABEL a=[$given$global]"), "");
  EXPECT_EQ(stage.image().config.labels.at("a"), "[]");
  EXPECT_EQ(Apply(stage,
                  "ARG given=default global\nARG own=$given-x TARGETARCH none\n"
                  "LABEL a=$given$global$own$none$TARGETARCH"),
            "");
  EXPECT_EQ(stage.image().config.labels.at("a"), "G1G-xarm64");
  EXPECT_EQ(Apply(stage, "ENV own=env\nARG own=arg\nLABEL b=$own\nRUN x"), "");
  EXPECT_EQ(stage.image().config.labels.at("b"), "env");
  EXPECT_EQ(LastHistory(stage), "|3 TARGETARCH=arm64 given=G global=1 /bin/sh -c x");
  EXPECT_EQ(Join(stage.RunEnvironment(), "|"),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|own=env|"
            "TARGETARCH=arm64|given=G|global=1|HTTP_PROXY=http://p");
  // A stage inherits them from the one it is from.
  StageState next = stage.Next();
  EXPECT_EQ(Apply(next, "LABEL c=$given"), "");
  EXPECT_EQ(next.image().config.labels.at("c"), "G");
}

TEST_F(StageStateTest, WhatRunStarts) {
  StageState stage = FromScratch();
  RunProgram program = stage.Program(RunOf("RUN <<EOF\necho $x\nEOF\n"));
  EXPECT_EQ(Join(program.argv, "|"), "/bin/sh|-c|echo $x\n");
  program = stage.Program(RunOf("RUN <<-EOF\n\t#!/usr/bin/env python3\n\tprint(1)\nEOF\n"));
  EXPECT_EQ(Join(program.argv, "|"), "/bin/sh|-c|/dev/pipes/EOF");
  EXPECT_EQ(program.script_name, "EOF");
  EXPECT_EQ(program.script, "#!/usr/bin/env python3\nprint(1)\n");
  program = stage.Program(RunOf("RUN <<a/../b\n#!x\na/../b\n"));
  EXPECT_EQ(program.script_name, "script");
  program = stage.Program(RunOf("RUN cat <<A <<B >x\n1\nA\n2\nB\n"));
  EXPECT_EQ(Join(program.argv, "|"), "/bin/sh|-c|cat <<A <<B >x\n1\nA\n2\nB");
  EXPECT_EQ(Join(stage.Program(RunOf("RUN [\"a\", \"$b\"]")).argv, "|"), "a|$b");
  EXPECT_EQ(Apply(stage, "ARG d=/c"), "");
  auto mounts = stage.Mounts(RunOf("RUN --mount=type=cache,target=$d x"));
  ASSERT_TRUE(mounts) << mounts.error().message();
  EXPECT_EQ(mounts->at(0).target, "/c");
}

TEST_F(StageStateTest, HeredocsOfCopyAreExpandedOnce) {
  StageState stage = FromScratch();
  EXPECT_EQ(Apply(stage, "ENV x=1"), "");
  auto dockerfile = ParseDockerfile("COPY <<-a <<'b' /d/\n\t\"$x\" \\$x\na\n$x\nb\n");
  ASSERT_TRUE(dockerfile);
  auto instruction = ParseInstruction(dockerfile->statements[0]);
  ASSERT_TRUE(instruction);
  auto expanded = stage.Expand(*instruction);
  ASSERT_TRUE(expanded);
  const Sources& sources = std::get<Copy>(expanded->what).sources;
  EXPECT_EQ(sources.files[0].Text(), "\"1\" $x\n");
  EXPECT_EQ(sources.files[1].Text(), "$x\n");
}

TEST_F(StageStateTest, Errors) {
  constexpr std::string_view kCases[][2] = {
      {"EXPOSE 80/x", "invalid port: \"80/x\": the protocol is none of tcp, udp and sctp"},
      {"EXPOSE 65536", "invalid port: \"65536\": it is no number from 0 to 65535"},
      {"EXPOSE 9-8", "invalid port: \"9-8\": the range ends before it begins"},
      {"STOPSIGNAL $none", "Invalid signal: "},
      {"STOPSIGNAL a;b", "Invalid signal: a;b"},
      {"WORKDIR $none", "WORKDIR specified can not be an empty string"},
      {"VOLUME $none", "VOLUME specified can not be an empty string"},
      {"ENV $none=1", "ENV names can not be blank"},
      {"USER ${x:?no user}", "failed to process \"${x:?no user}\": x: no user"},
  };
  for (const auto& [text, problem] : kCases) {
    StageState stage = FromScratch();
    EXPECT_EQ(Apply(stage, text), Cat("dockerfile parse error on line 1: ", problem));
  }
}

TEST_F(StageStateTest, GrowthIsBounded) {
  StageState stage = FromScratch();
  std::string text = "ENV A=" + std::string(60'000, 'x') + "\n";
  for (int i = 0; i < 5; ++i)
    text += "ENV A=$A$A$A\n";
  EXPECT_NE(Apply(stage, text), "");
  stage = FromScratch();
  text.clear();
  for (int i = 0; i < 20; ++i)
    text += "EXPOSE 0-65535\n";
  EXPECT_EQ(Apply(stage, text),
            "dockerfile parse error on line 4: the image's configuration has become too large");
}

TEST_F(StageStateTest, LayersAreBounded) {
  StageState stage = FromScratch();
  Outcome layer{.created = {}, .layer = Digest::Of("x"), .sources = {}};
  for (size_t i = 0; i < oci::kMaxLayers; ++i)
    ASSERT_EQ(Apply(stage, "RUN x", layer), "");
  EXPECT_EQ(Apply(stage, "RUN x", layer), "the image would have more than 127 layers");
}

}  // namespace
}  // namespace wherry::build
