#include "cli/commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/config.h"

namespace wherry::cli {

namespace {

constexpr Positional kMixed = Positional::kMixed;
constexpr Positional kEnds = Positional::kEndsOptions;
constexpr size_t kAny = kAnyNumber;

// Sorted by name.
// clang-format off
constexpr Command kCommands[] = {
    {"attach", "CONTAINER", "Follow a running container and type to it", 1, 1, kMixed, AttachOptions, AttachCommand},
    {"build", "PATH|-", "Make an image from a Dockerfile", 1, 1, kMixed, BuildOptions, BuildCommand},
    {"check", "", "Show what this kernel and board offer for containers, what they lack, and the remedy; needs no daemon", 0, 0, kMixed, FormatOptions, CheckCommand},
    {"commit", "CONTAINER [NAME]", "Make an image of what a container has changed", 1, 2, kMixed, CommitOptions, CommitCommand},
    {"compose", "COMMAND [ARG...]", "Run groups of services from a compose.yaml; `compose help` lists its commands", 0, kAny, kEnds, ComposeOptions, ComposeCommand},
    {"config", "", "Show the effective configuration and where each value comes from", 0, 0, kMixed, ConfigOptions, ConfigCommand},
    {"container inspect", "CONTAINER...", "Show all about containers as JSON", 1, kAny, kMixed, NoOptions, ContainerInspectCommand},
    {"container prune", "", "Remove containers that do not run", 0, 0, kMixed, ContainerPruneOptions, ContainerPruneCommand},
    {"cp", "CONTAINER:PATH PATH | PATH CONTAINER:PATH", "Copy files out of a container or into one; - is an archive", 2, 2, kMixed, CopyOptions, CopyCommand},
    {"create", "IMAGE [COMMAND [ARG...]]", "Create a container without starting it", 1, kAny, kEnds, CreateCommandOptions, CreateCommand},
    {"daemon", "", "Run the engine in the foreground", 0, 0, kMixed, DaemonOptions, DaemonCommand},
    {"delta", "create OLD NEW OUT", "Make deltas from image OLD to NEW; all three are OCI layouts (DIRECTORY[:TAG])", 4, 4, kMixed, DeltaOptions, DeltaCommand},
    {"diff", "CONTAINER", "Show which files a container has added, changed and deleted", 1, 1, kMixed, NoOptions, DiffCommand},
    {"events", "", "Follow what happens in the engine", 0, 0, kMixed, EventsOptions, EventsCommand},
    {"exec", "CONTAINER COMMAND [ARG...]", "Run a further program in a running container", 2, kAny, kEnds, ExecOptions, ExecCommand},
    {"export", "CONTAINER", "Write all files of a container to an archive", 1, 1, kMixed, ExportOptions, ExportCommand},
    {"fleet", "COMMAND [OPTIONS] [ARG...]", "Steer devices by a broker; `fleet help` lists its commands", 0, kAny, kEnds, NoOptions, FleetCommand},
    {"history", "IMAGE", "Show the steps an image was made by", 1, 1, kMixed, HistoryOptions, HistoryCommand},
    {"image inspect", "IMAGE...", "Show all about images as JSON", 1, kAny, kMixed, NoOptions, ImageInspectCommand},
    {"image prune", "", "Remove images that nothing uses", 0, 0, kMixed, ImagePruneOptions, ImagePruneCommand},
    {"images", "[NAME]", "List images", 0, 1, kMixed, ImagesOptions, ImagesCommand},
    {"import", "FILE|- [NAME]", "Make an image of an archive of files", 1, 2, kMixed, ImportOptions, ImportCommand},
    {"info", "", "Describe the engine and this machine", 0, 0, kMixed, FormatOptions, InfoCommand},
    {"inspect", "NAME...", "Show all about containers or images as JSON", 1, kAny, kMixed, NoOptions, InspectCommand},
    {"kill", "CONTAINER...", "Send a signal to containers", 1, kAny, kMixed, KillOptions, KillCommand},
    {"load", "", "Load images from an archive, as save and docker save write it, or an OCI layout", 0, 0, kMixed, LoadOptions, LoadCommand},
    {"login", "[REGISTRY]", "Check and remember credentials of a registry", 0, 1, kMixed, LoginOptions, LoginCommand},
    {"logout", "[REGISTRY]", "Forget credentials of a registry", 0, 1, kMixed, NoOptions, LogoutCommand},
    {"logs", "CONTAINER", "Show the output of a container", 1, 1, kMixed, LogsOptions, LogsCommand},
    {"network connect", "NETWORK CONTAINER", "Put a container into a further network", 2, 2, kMixed, NetworkConnectOptions, NetworkConnectCommand},
    {"network create", "NAME", "Create a network", 1, 1, kMixed, NetworkCreateOptions, NetworkCreateCommand},
    {"network disconnect", "NETWORK CONTAINER", "Take a container out of a network", 2, 2, kMixed, NoOptions, NetworkDisconnectCommand},
    {"network inspect", "NETWORK...", "Show all about networks as JSON", 1, kAny, kMixed, NoOptions, NetworkInspectCommand},
    {"network ls", "", "List networks", 0, 0, kMixed, NetworkLsOptions, NetworkLsCommand},
    {"network prune", "", "Remove networks that no container uses", 0, 0, kMixed, NetworkPruneOptions, NetworkPruneCommand},
    {"network rm", "NETWORK...", "Remove networks", 1, kAny, kMixed, NoOptions, NetworkRmCommand},
    {"ota apply", "FILE|REFERENCE", "Bring a signed release from a file, a bundle or a registry, and try it", 1, 1, kMixed, OtaApplyOptions, OtaApplyCommand},
    {"ota cancel", "", "End the update that is in progress; one in trial is taken back", 0, 0, kMixed, NoOptions, OtaCancelCommand},
    {"ota confirm", "", "End the trial at once and keep the release", 0, 0, kMixed, NoOptions, OtaConfirmCommand},
    {"ota evidence", "", "Show what was seen of the last release that was taken back, as JSON", 0, 0, kMixed, NoOptions, OtaEvidenceCommand},
    {"ota history", "", "List the last updates", 0, 0, kMixed, NoOptions, OtaHistoryCommand},
    {"ota proceed", "", "Begin the trial of a release that waits for a window, a lock or a word", 0, 0, kMixed, NoOptions, OtaProceedCommand},
    {"ota rollback", "", "Go back to the release before", 0, 0, kMixed, OtaRollbackOptions, OtaRollbackCommand},
    {"ota status", "", "Show the release, its apps, and the update in progress", 0, 0, kMixed, OtaStatusOptions, OtaStatusCommand},
    {"pause", "CONTAINER...", "Freeze all processes of containers", 1, kAny, kMixed, NoOptions, PauseCommand},
    {"port", "CONTAINER [PORT]", "Show the published ports of a container", 1, 2, kMixed, NoOptions, PortCommand},
    {"ps", "", "List containers", 0, 0, kMixed, PsOptions, PsCommand},
    {"pull", "IMAGE", "Download an image", 1, 1, kMixed, PullOptions, PullCommand},
    {"push", "IMAGE", "Upload an image to its registry", 1, 1, kMixed, PushOptions, PushCommand},
    {"release bundle", "FILE", "Write a signed release and its images to one file, for devices without a network", 1, 1, kMixed, ReleaseBundleOptions, ReleaseBundleCommand},
    {"release create", "[FILE]", "Complete a release: apps of compose files, digests for tags, sequence number, time", 0, 1, kMixed, ReleaseCreateOptions, ReleaseCreateCommand},
    {"release keygen", "NAME", "Make a key for releases: NAME.key and NAME.pub", 1, 1, kMixed, NoOptions, ReleaseKeygenCommand},
    {"release push", "REFERENCE FILE", "Put a signed release into a registry, where devices get it by `ota apply REFERENCE`", 2, 2, kMixed, NoOptions, ReleasePushCommand},
    {"release sign", "FILE", "Sign a release", 1, 1, kMixed, ReleaseSignOptions, ReleaseSignCommand},
    {"release verify", "FILE", "Check who signed a release", 1, 1, kMixed, ReleaseVerifyOptions, ReleaseVerifyCommand},
    {"rename", "CONTAINER NAME", "Give a container another name", 2, 2, kMixed, NoOptions, RenameCommand},
    {"restart", "CONTAINER...", "Stop containers and start them again", 1, kAny, kMixed, StopOptions, RestartCommand},
    {"rm", "CONTAINER...", "Remove containers", 1, kAny, kMixed, RmOptions, RmCommand},
    {"rmi", "IMAGE...", "Remove images", 1, kAny, kMixed, RmiOptions, RmiCommand},
    {"run", "IMAGE [COMMAND [ARG...]]", "Create a container and start it; pulls the image when it is not here", 1, kAny, kEnds, RunOptions, RunCommand},
    {"save", "IMAGE...", "Write images to an archive that load and docker load read", 1, kAny, kMixed, SaveOptions, SaveCommand},
    {"start", "CONTAINER...", "Start created or ended containers", 1, kAny, kMixed, StartOptions, StartCommand},
    {"stats", "[CONTAINER...]", "Show what containers use", 0, kAny, kMixed, StatsOptions, StatsCommand},
    {"stop", "CONTAINER...", "End containers: signal, then kill after a time", 1, kAny, kMixed, StopOptions, StopCommand},
    {"store check", "", "Look for damage in the store of images", 0, 0, kMixed, StoreCheckOptions, StoreCheckCommand},
    {"store export-factory", "DIRECTORY IMAGE...", "Copy images to a directory that devices have as their factory store", 2, kAny, kMixed, ExportFactoryOptions, ExportFactoryCommand},
    {"system df", "", "Show what images and containers take on the disk", 0, 0, kMixed, SystemDfOptions, SystemDfCommand},
    {"system prune", "", "Remove containers that do not run, and images and networks that nothing uses", 0, 0, kMixed, SystemPruneOptions, SystemPruneCommand},
    {"tag", "IMAGE NAME", "Give an image another name", 2, 2, kMixed, NoOptions, TagCommand},
    {"top", "CONTAINER [PS ARGUMENTS]", "Show the processes of a container", 1, kAny, kEnds, NoOptions, TopCommand},
    {"unpause", "CONTAINER...", "Let frozen containers go on", 1, kAny, kMixed, NoOptions, UnpauseCommand},
    {"update", "CONTAINER...", "Change limits and restart policy of containers", 1, kAny, kMixed, UpdateOptions, UpdateCommand},
    {"version", "", "Show the versions of client and engine", 0, 0, kMixed, FormatOptions, VersionCommand},
    {"volume create", "[NAME]", "Create a volume", 0, 1, kMixed, VolumeCreateOptions, VolumeCreateCommand},
    {"volume inspect", "VOLUME...", "Show all about volumes as JSON", 1, kAny, kMixed, NoOptions, VolumeInspectCommand},
    {"volume ls", "", "List volumes", 0, 0, kMixed, VolumeLsOptions, VolumeLsCommand},
    {"volume prune", "", "Remove volumes that no container uses", 0, 0, kMixed, VolumePruneOptions, VolumePruneCommand},
    {"volume rm", "VOLUME...", "Remove volumes with their content", 1, kAny, kMixed, VolumeRmOptions, VolumeRmCommand},
    {"wait", "CONTAINER...", "Wait until containers end and print their exit codes", 1, kAny, kMixed, NoOptions, WaitCommand},
};
// clang-format on

// Docker's longer names: "container ls" is ps. Other words behind "container", "image" or "system"
// are the command of that name, where it is one of these things.
struct LongName {
  std::string_view words, command;
};
constexpr LongName kLongNames[] = {
    {"container ls", "ps"},     {"container list", "ps"}, {"image ls", "images"},
    {"image list", "images"},   {"image rm", "rmi"},      {"image remove", "rmi"},
    {"container remove", "rm"},
};
constexpr std::string_view kOfContainers =
    " attach commit cp create diff exec export kill logs pause port rename restart rm run start "
    "stats stop top unpause update wait ";
constexpr std::string_view kOfImages = " build history import load pull push save tag ";
constexpr std::string_view kOfTheSystem = " events info ";
constexpr LongName kGroups[] = {
    {"container", kOfContainers}, {"image", kOfImages}, {"system", kOfTheSystem}};

constexpr bool Sorted() {
  for (size_t i = 1; i < std::size(kCommands); ++i) {
    if (kCommands[i - 1].name >= kCommands[i].name)
      return false;
  }
  return true;
}
static_assert(Sorted());

constexpr Option kGlobalOptions[] = {
    {"socket", 'H', OptionKind::kValue, "PATH", "Socket of the daemon (also WHERRY_SOCKET)"},
    {"config", 0, OptionKind::kValue, "FILE", "Configuration of the daemon"},
    {"help", 0, OptionKind::kFlag, "", "Show help"},
    {"version", 'v', OptionKind::kFlag, "", "Show the version of this program"},
};

void Print(int fd, std::string_view text) {
  (void)WriteAll(fd, text, "output");
}

// A line for each command whose name begins with `start`.
std::string ListCommands(std::string_view start) {
  constexpr size_t kWidth = 22;
  std::string text;
  for (const Command& command : kCommands) {
    if (!command.name.starts_with(start))
      continue;
    std::string line = Cat("  ", command.name);
    line.resize(kWidth, ' ');
    Append(text, line, command.summary, "\n");
  }
  return text;
}

std::string Help() {
  std::string text =
      Cat("wherry runs OCI containers on small devices.\n\nUsage: wherry [OPTIONS] COMMAND "
          "[ARG...]\n\nCommands:\n",
          ListCommands(""));
  Append(text, "\nOptions:\n", DescribeOptions(kGlobalOptions),
         "\nRun `wherry COMMAND --help` for the options of a command.\n");
  return text;
}

std::string Help(const Command& command) {
  std::string text =
      Cat("Usage: wherry ", command.name, command.options().empty() ? "" : " [OPTIONS]",
          command.usage.empty() ? "" : " ", command.usage, "\n\n", command.summary, ".\n");
  if (!command.options().empty())
    Append(text, "\nOptions:\n", DescribeOptions(command.options()));
  return text;
}

int Complain(std::string_view who, std::string_view message, int status) {
  Print(STDERR_FILENO, Cat(who, ": ", message, "\n"));
  return status;
}

// The command that goes by a longer name of Docker's, or nothing.
std::string_view ShortName(std::string_view both, std::string_view group, std::string_view word) {
  for (const LongName& name : kLongNames) {
    if (name.words == both)
      return name.command;
  }
  for (const LongName& name : kGroups) {
    if (name.words == group && name.command.contains(Cat(" ", word, " ")))
      return word;
  }
  return {};
}

// The command that the first one or two words name, and how many they are.
std::pair<const Command*, size_t> FindCommand(std::span<const std::string> words) {
  std::string two = words.size() > 1 ? Cat(words[0], " ", words[1]) : std::string();
  std::string_view other = two.empty() ? std::string_view() : ShortName(two, words[0], words[1]);
  for (const Command& command : kCommands) {
    if (command.name == words[0])
      return {&command, 1};
    if (command.name == two || command.name == other)
      return {&command, 2};
  }
  return {nullptr, 0};
}

// No command goes by these words: "wherry network" lists those that begin so.
int NotFound(std::span<const std::string> words) {
  std::string commands = ListCommands(Cat(words[0], " "));
  if (commands.empty())
    return Complain("wherry", Cat("unknown command ", words[0], "; see `wherry --help`"), 125);
  if (words.size() > 1 && words[1] != "--help") {
    return Complain(
        "wherry", Cat("unknown command ", words[0], " ", words[1], "; see `wherry ", words[0], "`"),
        125);
  }
  for (const LongName& group : kGroups) {
    if (group.words == words[0])
      Append(commands, "\nAs without `", group.words, "`:", group.command, "\n");
  }
  Print(STDOUT_FILENO, Cat("Usage: wherry ", words[0], " COMMAND\n\nCommands:\n", commands));
  return 0;
}

// The socket: option, environment, configuration, default.
std::string SocketPath(const Arguments& global) {
  if (global.Has("socket")) {
    std::string path = global.Value("socket");
    return path.starts_with("unix://") ? path.substr(7) : path;
  }
  if (const char* path = getenv("WHERRY_SOCKET"); path != nullptr && path[0] != '\0')
    return path;
  return "/run/wherry/wherry.sock";
}

// `run` and `create` fail with 125 as Docker's do, so that 1 to 124 can be the container's own.
int FailureStatus(const Command& command) {
  return command.name == "run" || command.name == "create" ? 125 : 1;
}

int RunOne(const Command& command, const Arguments& global, std::span<const std::string> words) {
  std::string who = Cat("wherry ", command.name);
  bool wants_help = !words.empty() && words[0] == "--help";
  if (wants_help) {
    Print(STDOUT_FILENO, Help(command));
    return 0;
  }
  int failure = FailureStatus(command);
  auto arguments = ParseArguments(command.options(), words, command.positional);
  if (!arguments) {
    return Complain(
        who, Cat(arguments.error().message(), "; see `wherry ", command.name, " --help`"), failure);
  }
  size_t count = arguments->positional().size();
  if (count < command.least || count > command.most) {
    return Complain(who,
                    Cat(count < command.least ? "missing argument" : "too many arguments",
                        "; usage: wherry ", command.name, " [OPTIONS] ", command.usage),
                    failure);
  }
  Client client(SocketPath(global));
  auto status =
      command.run({client, *arguments, global.Value("config", engine::kDefaultConfigFile)});
  if (!status)
    return Complain(who, status.error().message(), failure);
  return *status;
}

}  // namespace

std::span<const Command> Commands() {
  return kCommands;
}

std::span<const Option> NoOptions() {
  return {};
}

Result<int> ForEachWord(const Invocation& call,
                        std::move_only_function<Result<>(const std::string&)> action) {
  int status = 0;
  for (const std::string& word : call.words()) {
    if (auto done = action(word)) {
      Print(STDOUT_FILENO, Cat(word, "\n"));
    } else {
      status = Complain("wherry", done.error().message(), 1);
    }
  }
  return status;
}

Result<bool> Confirmed(const Invocation& call, std::string_view what) {
  if (call.arguments.Flag("force"))
    return true;
  TRY(cli::Print(
      Cat("WARNING! This will remove all ", what, ".\nAre you sure you want to continue? [y/N] ")));
  char answer = 0;
  return read(STDIN_FILENO, &answer, 1) == 1 && (answer == 'y' || answer == 'Y');
}

int Main(std::span<const std::string> words) {
  auto global = ParseArguments(kGlobalOptions, words, kEnds);
  if (!global)
    return Complain("wherry", Cat(global.error().message(), "; see `wherry --help`"), 125);
  if (global->Flag("version")) {
    Print(STDOUT_FILENO, Cat("wherry version ", WHERRY_VERSION, "\n"));
    return 0;
  }
  if (global->positional().empty() || global->positional()[0] == "help") {
    Print(STDOUT_FILENO, Help());
    return global->positional().empty() && !global->Flag("help") ? 1 : 0;
  }
  std::span<const std::string> rest(global->positional());
  auto [command, words_used] = FindCommand(rest);
  if (command == nullptr)
    return NotFound(rest);
  return RunOne(*command, *global, rest.subspan(words_used));
}

}  // namespace wherry::cli
