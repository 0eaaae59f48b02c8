// The commands of wherry-runtime: one row each (main.cpp), one function each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/oci_runtime/options.h"

namespace wherry::oci_runtime {

// Of the runtime specification.
constexpr std::string_view kSpecVersion = "1.3.0";

// Who makes the cgroups of containers; kNobody: they stay in the caller's.
enum class CgroupManager : uint8_t { kRuntime, kSystemd, kNobody };

// What stands before the command's name.
struct Globals {
  std::string root = "/run/wherry-runtime";
  std::string log;  // empty: none
  bool log_json = false;
  CgroupManager cgroup_manager = CgroupManager::kRuntime;
};

struct Call {
  const Globals& globals;
  const Options& options;

  const std::string& id() const { return options.arguments()[0]; }
};

// The exit status, or why not.
using CommandFunction = Result<int>(const Call& call);

struct Command {
  std::string_view name;
  std::string_view arguments;  // for the usage
  std::string_view summary;
  const std::span<const OptionRow>* options;
  size_t least;  // arguments
  size_t most;
  int failure;  // the exit status of an error: runc's
  CommandFunction* run;
  bool enters = false;  // a clone of the process becomes one of the container
};

CommandFunction Create, Run, Start;             // create.cpp
CommandFunction Exec;                           // exec.cpp
CommandFunction Kill, Delete, Pause, Resume;    // control.cpp
CommandFunction Update;                         // update.cpp
CommandFunction Events;                         // events.cpp
CommandFunction ShowState, List, Ps, Features;  // show.cpp
CommandFunction WriteSpec;                      // spec.cpp

extern const std::span<const OptionRow> kCreateOptions, kRunOptions, kExecOptions, kUpdateOptions;

// A warning, to the log and to standard error.
void Warn(const Globals& globals, std::string_view message);

}  // namespace wherry::oci_runtime
