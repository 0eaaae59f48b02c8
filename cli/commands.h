// The table of commands: dispatch, help and the check of arguments all read it. A new command is
// one row in commands.cpp and one function in the file of its area.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "cli/options.h"
#include "core/base/result.h"

namespace wherry::cli {

// What every command gets. The result is the exit status of the program.
struct Invocation {
  Client& client;
  const Arguments& arguments;
  std::string config_file;  // of the daemon, where a command needs it

  const std::string& word(size_t index) const { return arguments.positional()[index]; }
  std::span<const std::string> words() const { return arguments.positional(); }
};

inline constexpr size_t kAnyNumber = 255;

struct Command {
  std::string_view name;
  std::string_view usage;  // "IMAGE [COMMAND] [ARG...]"
  std::string_view summary;
  size_t least;  // positional arguments
  size_t most;
  Positional positional;
  std::span<const Option> (*options)();
  Result<int> (*run)(const Invocation& invocation);
};

std::span<const Command> Commands();

// Does `action` for each positional argument and prints the argument; an error is told and makes
// the status 1, the others go on.
Result<int> ForEachWord(const Invocation& call,
                        std::move_only_function<Result<>(const std::string&)> action);

// Asks before `what` is removed, unless --force was given.
Result<bool> Confirmed(const Invocation& call, std::string_view what);

// A container of GET /containers/json for people: ID, image, command, age, status, ports, names.
std::vector<std::string> PsRow(JsonValue container, bool whole);

// Runs the command line; errors go to standard error as one sentence. Exit status as Docker's: 125
// for an error of wherry itself in run, else 1; 2 for wrong usage... see docs/cli.md.
int Main(std::span<const std::string> words);

// The commands, by file.
Result<int> RunCommand(const Invocation&);  // cmd_run.cpp
Result<int> CreateCommand(const Invocation&);
Result<int> StartCommand(const Invocation&);
Result<int> AttachCommand(const Invocation&);
std::span<const Option> RunOptions();
std::span<const Option> CreateCommandOptions();
std::span<const Option> StartOptions();
std::span<const Option> AttachOptions();
Result<int> StopCommand(const Invocation&);  // cmd_containers.cpp
Result<int> KillCommand(const Invocation&);
Result<int> RestartCommand(const Invocation&);
Result<int> PauseCommand(const Invocation&);
Result<int> UnpauseCommand(const Invocation&);
Result<int> RenameCommand(const Invocation&);
Result<int> RmCommand(const Invocation&);
Result<int> WaitCommand(const Invocation&);
Result<int> PsCommand(const Invocation&);
Result<int> LogsCommand(const Invocation&);
std::span<const Option> StopOptions();
std::span<const Option> KillOptions();
std::span<const Option> RmOptions();
std::span<const Option> PsOptions();
std::span<const Option> LogsOptions();
Result<int> ContainerPruneCommand(const Invocation&);
std::span<const Option> ContainerPruneOptions();
Result<int> BuildCommand(const Invocation&);  // cmd_build.cpp
std::span<const Option> BuildOptions();
Result<int> ReleasePushCommand(const Invocation&);    // cmd_bundle.cpp
Result<int> ReleaseBundleCommand(const Invocation&);  // cmd_bundle.cpp
std::span<const Option> ReleaseBundleOptions();
Result<int> ComposeCommand(const Invocation&);  // compose/command.cpp
std::span<const Option> ComposeOptions();
Result<int> CommitCommand(const Invocation&);  // cmd_commit.cpp
Result<int> DiffCommand(const Invocation&);
std::span<const Option> CommitOptions();
Result<int> PullCommand(const Invocation&);  // cmd_images.cpp
Result<int> PushCommand(const Invocation&);
Result<int> ImagesCommand(const Invocation&);
Result<int> HistoryCommand(const Invocation&);
std::span<const Option> HistoryOptions();
Result<int> RmiCommand(const Invocation&);
Result<int> TagCommand(const Invocation&);
std::span<const Option> PullOptions();
std::span<const Option> PushOptions();
std::span<const Option> ImagesOptions();
std::span<const Option> RmiOptions();
Result<int> DeltaCommand(const Invocation&);  // cmd_delta.cpp
std::span<const Option> DeltaOptions();
Result<int> ExecCommand(const Invocation&);  // cmd_exec.cpp
std::span<const Option> ExecOptions();
Result<int> FleetCommand(const Invocation&);  // fleet/command.cpp
Result<int> CopyCommand(const Invocation&);   // cmd_copy.cpp
std::span<const Option> CopyOptions();
Result<int> SaveCommand(const Invocation&);  // cmd_archives.cpp
Result<int> LoadCommand(const Invocation&);
Result<int> ExportCommand(const Invocation&);
Result<int> ImportCommand(const Invocation&);
std::span<const Option> ExportOptions();
std::span<const Option> ImportOptions();
std::span<const Option> SaveOptions();
std::span<const Option> LoadOptions();
Result<int> ReleaseKeygenCommand(const Invocation&);  // cmd_release.cpp
Result<int> ReleaseCreateCommand(const Invocation&);
Result<int> ReleaseSignCommand(const Invocation&);
Result<int> ReleaseVerifyCommand(const Invocation&);
std::span<const Option> ReleaseCreateOptions();
std::span<const Option> ReleaseSignOptions();
std::span<const Option> ReleaseVerifyOptions();
Result<int> TopCommand(const Invocation&);  // cmd_resources.cpp
Result<int> StatsCommand(const Invocation&);
Result<int> UpdateCommand(const Invocation&);
std::span<const Option> StatsOptions();
std::span<const Option> UpdateOptions();
Result<int> InspectCommand(const Invocation&);  // cmd_inspect.cpp
Result<int> ContainerInspectCommand(const Invocation&);
Result<int> ImageInspectCommand(const Invocation&);
Result<int> NetworkInspectCommand(const Invocation&);
Result<int> VolumeInspectCommand(const Invocation&);
Result<int> LoginCommand(const Invocation&);  // cmd_login.cpp
Result<int> LogoutCommand(const Invocation&);
std::span<const Option> LoginOptions();
Result<int> NetworkCreateCommand(const Invocation&);  // cmd_networks.cpp
Result<int> NetworkLsCommand(const Invocation&);
Result<int> NetworkRmCommand(const Invocation&);
Result<int> NetworkConnectCommand(const Invocation&);
Result<int> NetworkDisconnectCommand(const Invocation&);
Result<int> NetworkPruneCommand(const Invocation&);
Result<int> PortCommand(const Invocation&);
std::span<const Option> NetworkCreateOptions();
std::span<const Option> NetworkLsOptions();
std::span<const Option> NetworkConnectOptions();
std::span<const Option> NetworkPruneOptions();
Result<int> StoreCheckCommand(const Invocation&);  // cmd_store.cpp
Result<int> ExportFactoryCommand(const Invocation&);
std::span<const Option> ExportFactoryOptions();
std::span<const Option> StoreCheckOptions();
Result<int> OtaStatusCommand(const Invocation&);  // cmd_updates.cpp
Result<int> OtaApplyCommand(const Invocation&);
Result<int> OtaConfirmCommand(const Invocation&);
Result<int> OtaProceedCommand(const Invocation&);
Result<int> OtaCancelCommand(const Invocation&);
Result<int> OtaRollbackCommand(const Invocation&);
Result<int> OtaHistoryCommand(const Invocation&);
Result<int> OtaEvidenceCommand(const Invocation&);
std::span<const Option> OtaStatusOptions();
std::span<const Option> OtaApplyOptions();
std::span<const Option> OtaRollbackOptions();
Result<int> SystemDfCommand(const Invocation&);  // cmd_usage.cpp
Result<int> SystemPruneCommand(const Invocation&);
Result<int> ImagePruneCommand(const Invocation&);
std::span<const Option> SystemDfOptions();
std::span<const Option> SystemPruneOptions();
std::span<const Option> ImagePruneOptions();
Result<int> VolumeCreateCommand(const Invocation&);  // cmd_volumes.cpp
Result<int> VolumeLsCommand(const Invocation&);
Result<int> VolumeRmCommand(const Invocation&);
Result<int> VolumePruneCommand(const Invocation&);
std::span<const Option> VolumeCreateOptions();
std::span<const Option> VolumeLsOptions();
std::span<const Option> VolumeRmOptions();
std::span<const Option> VolumePruneOptions();
Result<int> CheckCommand(const Invocation&);    // cmd_check.cpp
Result<int> VersionCommand(const Invocation&);  // cmd_system.cpp
Result<int> InfoCommand(const Invocation&);
Result<int> EventsCommand(const Invocation&);
Result<int> DaemonCommand(const Invocation&);
Result<int> ConfigCommand(const Invocation&);
std::span<const Option> FormatOptions();
std::span<const Option> EventsOptions();
std::span<const Option> DaemonOptions();
std::span<const Option> ConfigOptions();
std::span<const Option> NoOptions();

}  // namespace wherry::cli
