// What a statement of a Dockerfile says: one struct for each instruction, its arguments checked,
// variables not yet replaced. Hostile input; thread-safe, no state.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/result.h"
#include "engine/build/dockerfile.h"

namespace wherry::build {

struct KeyValue {
  std::string key;
  std::string value;
};

// The shell form has one word at most, for the shell to read.
struct CommandLine {
  std::vector<std::string> words;
  bool shell_form = true;
};

// What COPY and ADD have in common.
struct Sources {
  std::vector<std::string> paths;
  std::vector<Heredoc> files;  // a file of that name and text each
  std::string destination;
  std::string chown;
  std::string chmod;
  std::vector<std::string> exclude;
  bool link = false;
};

struct Add {
  Sources sources;
  std::string checksum;
  std::optional<bool> keep_git_dir;
  std::optional<bool> unpack;
};
struct Arg {
  struct Definition {
    std::string name;
    std::optional<std::string> value;
  };
  std::vector<Definition> definitions;
};
struct Cmd {
  CommandLine command;
};
struct Copy {
  Sources sources;
  std::string from;  // a stage or an image; empty: the build context
  bool parents = false;
};
struct Entrypoint {
  CommandLine command;
};
struct Env {
  std::vector<KeyValue> variables;
};
struct Expose {
  std::vector<std::string> ports;  // "80", "53/udp", "8000-8010"
};
struct From {
  std::string image;  // or an earlier stage
  std::string name;   // of the stage, in lower case; may be empty
  std::string platform;
};
struct Healthcheck {
  std::vector<std::string> test;  // {"NONE"}, {"CMD", ...} or {"CMD-SHELL", text}
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int32_t retries = 0;
};
struct Label {
  std::vector<KeyValue> labels;
};
struct Maintainer {
  std::string name;
};
struct Onbuild {
  std::string expression;  // as ParseTrigger takes it
};
struct Run {
  CommandLine command;
  std::vector<Heredoc> files;
  std::vector<std::string> mounts;  // see run_mount.h
  std::string network;              // "", "default", "none" or "host"
};
struct Shell {
  std::vector<std::string> words;
};
struct StopSignal {
  std::string signal;
};
struct User {
  std::string user;
};
struct Volume {
  std::vector<std::string> paths;
};
struct Workdir {
  std::string path;
};

struct Instruction {
  std::variant<Add, Arg, Cmd, Copy, Entrypoint, Env, Expose, From, Healthcheck, Label, Maintainer,
               Onbuild, Run, Shell, StopSignal, User, Volume, Workdir>
      what;
  std::string text;  // the statement's
  int line = 0;

  Keyword keyword() const { return static_cast<Keyword>(what.index()); }
};

// kInvalid "dockerfile parse error on line N: ..."; kUnsupported for what Docker has and this has
// not, by name.
Result<Instruction> ParseInstruction(const Statement& statement);
// The instruction of an ONBUILD, of an image or an earlier stage; errors name no line.
Result<Instruction> ParseTrigger(std::string_view expression);

}  // namespace wherry::build
