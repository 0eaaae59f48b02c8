// The text an instruction leaves in the image's history, as Docker's classic builder writes it:
// `/bin/sh -c #(nop)  CMD ["nginx" "-g" "daemon off;"]`. Thread-safe, no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/build/instruction.h"

namespace wherry::build {

// What the text needs besides the instruction.
struct HistoryContext {
  std::vector<std::string> shell;       // after the instruction
  std::vector<std::string> argv;        // of RUN, and what CMD and ENTRYPOINT have become
  std::vector<std::string> build_args;  // "name=value", of RUN; those of ARG
  std::string working_dir;              // after the instruction
  std::string sources;                  // of COPY and ADD: "file:1234"
};

// `instruction` is expanded.
std::string HistoryText(const Instruction& instruction, const HistoryContext& context);

}  // namespace wherry::build
