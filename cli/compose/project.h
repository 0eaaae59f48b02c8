// The group that a compose command is about: its files found, read and understood.
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"
#include "engine/compose/group.h"
#include "engine/compose/node.h"

namespace wherry::cli {

struct Project {
  compose::Group group;
  compose::Node tree;
  std::vector<std::string> profiles;
  bool has_files = false;
};

// What a command of compose gets. The result is the exit status.
struct ComposeCall {
  Client& client;
  const Project& project;
  const Arguments& arguments;  // of the command
  const Invocation& outer;     // for commands that are made of others
  bool color = false;

  const std::vector<std::string>& words() const { return arguments.positional(); }
};

// Whether a command can do without files, when a name is given: what runs is found by its labels.
enum class Files : uint8_t { kNeeded, kOptional };

// `global`: the options before the command. Warnings go to standard error.
Result<Project> LoadProject(const Arguments& global, Files files);

// The services a command names, or all that the profiles switch on.
Result<std::vector<const compose::Service*>> ServicesOf(const ComposeCall& call,
                                                        const std::vector<std::string>& names,
                                                        compose::Dependencies dependencies);

// One line to standard error: what is being done.
void Say(std::string_view text);

}  // namespace wherry::cli
