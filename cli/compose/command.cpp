// compose: the table of its commands.
#include <unistd.h>

#include <algorithm>

#include "cli/compose/down.h"
#include "cli/compose/follow.h"
#include "cli/compose/images.h"
#include "cli/compose/one_off.h"
#include "cli/compose/project.h"
#include "cli/compose/show.h"
#include "cli/compose/up.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;
constexpr Positional kMixed = Positional::kMixed;
constexpr Positional kEnds = Positional::kEndsOptions;
constexpr size_t kAny = kAnyNumber;

constexpr Option kGlobal[] = {
    {"ansi", 0, kValue, "WHEN", "Colours: auto, always or never"},
    {"env-file", 0, kList, "FILE", "Variables for the compose file, instead of .env"},
    {"file", 'f', kList, "FILE", "Compose file; further ones lie over it; - is standard input"},
    {"profile", 0, kList, "PROFILE", "Services of this profile, too; * is every profile"},
    {"project-directory", 0, kValue, "DIR", "Where relative paths in the file begin"},
    {"project-name", 'p', kValue, "NAME", "Name of the project"},
};

struct ComposeRow {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  size_t least;
  size_t most;
  Positional positional;
  Files files;
  std::span<const Option> (*options)();
  Result<int> (*run)(const ComposeCall& call);
};

// Sorted by name.
// clang-format off
constexpr ComposeRow kRows[] = {
    {"build", "[SERVICE...]", "Build the images of services", 0, kAny, kMixed, Files::kNeeded, ComposeBuildOptions, ComposeBuild},
    {"config", "[SERVICE...]", "Check the files and print them as one", 0, kAny, kMixed, Files::kNeeded, ComposeConfigOptions, ComposeConfig},
    {"create", "[SERVICE...]", "Create containers without starting them", 0, kAny, kMixed, Files::kNeeded, ComposeCreateOptions, ComposeCreate},
    {"down", "[SERVICE...]", "Stop and remove containers and networks", 0, kAny, kMixed, Files::kOptional, ComposeDownOptions, ComposeDown},
    {"exec", "SERVICE COMMAND [ARG...]", "Run a further program in a running container", 2, kAny, kEnds, Files::kOptional, ComposeExecOptions, ComposeExec},
    {"images", "[SERVICE...]", "List the images of the containers", 0, kAny, kMixed, Files::kOptional, ComposeImagesOptions, ComposeImages},
    {"kill", "[SERVICE...]", "Send a signal to containers", 0, kAny, kMixed, Files::kOptional, ComposeKillOptions, ComposeKill},
    {"logs", "[SERVICE...]", "Show the output of containers", 0, kAny, kMixed, Files::kOptional, ComposeLogsOptions, ComposeLogs},
    {"pause", "[SERVICE...]", "Freeze all processes of containers", 0, kAny, kMixed, Files::kOptional, NoOptions, ComposePause},
    {"ps", "[SERVICE...]", "List containers", 0, kAny, kMixed, Files::kOptional, ComposePsOptions, ComposePs},
    {"pull", "[SERVICE...]", "Download the images of services", 0, kAny, kMixed, Files::kNeeded, ComposePullOptions, ComposePull},
    {"push", "[SERVICE...]", "Upload the images that are built", 0, kAny, kMixed, Files::kNeeded, NoOptions, ComposePush},
    {"restart", "[SERVICE...]", "Stop containers and start them again", 0, kAny, kMixed, Files::kOptional, ComposeStopOptions, ComposeRestart},
    {"rm", "[SERVICE...]", "Remove stopped containers", 0, kAny, kMixed, Files::kOptional, ComposeRmOptions, ComposeRm},
    {"run", "SERVICE [COMMAND [ARG...]]", "Run a command in a container of its own", 1, kAny, kEnds, Files::kNeeded, ComposeRunOptions, ComposeRun},
    {"start", "[SERVICE...]", "Start containers that are there", 0, kAny, kMixed, Files::kOptional, NoOptions, ComposeStart},
    {"stop", "[SERVICE...]", "Stop containers", 0, kAny, kMixed, Files::kOptional, ComposeStopOptions, ComposeStop},
    {"top", "[SERVICE...]", "Show the processes of containers", 0, kAny, kMixed, Files::kOptional, NoOptions, ComposeTop},
    {"unpause", "[SERVICE...]", "Let frozen containers go on", 0, kAny, kMixed, Files::kOptional, NoOptions, ComposeUnpause},
    {"up", "[SERVICE...]", "Make and start what the files describe, as far as it has changed", 0, kAny, kMixed, Files::kNeeded, ComposeUpOptions, ComposeUp},
};
// clang-format on

constexpr bool Sorted() {
  for (size_t i = 1; i < std::size(kRows); ++i) {
    if (kRows[i - 1].name >= kRows[i].name)
      return false;
  }
  return true;
}
static_assert(Sorted());

std::string ListOfCommands() {
  std::string text = "Usage: wherry compose [OPTIONS] COMMAND [ARG...]\n\nCommands:\n";
  for (const ComposeRow& row : kRows) {
    std::string line = Cat("  ", row.name);
    line.resize(12, ' ');
    Append(text, line, row.summary, "\n");
  }
  Append(text, "\nOptions:\n", DescribeOptions(kGlobal),
         "\nRun `wherry compose COMMAND --help` for the options of a command.\n");
  return text;
}

std::string HelpOf(const ComposeRow& row) {
  bool options = !row.options().empty();
  std::string text = Cat("Usage: wherry compose ", row.name, options ? " [OPTIONS] " : " ",
                         row.usage, "\n\n", row.summary, ".\n");
  if (options)
    Append(text, "\nOptions:\n", DescribeOptions(row.options()));
  return text;
}

Result<bool> UseColor(const Arguments& global) {
  std::string when = global.Value("ansi", "auto");
  if (when != "auto" && when != "always" && when != "never")
    return Fail(Errc::kInvalid, Cat("option --ansi takes auto, always or never, not ", when));
  return when == "always" || (when == "auto" && IsTerminal(STDOUT_FILENO));
}

Result<int> RunRow(const Invocation& call, const ComposeRow& row) {
  auto words = call.words().subspan(1);
  if (!words.empty() && words[0] == "--help") {
    TRY(Print(HelpOf(row)));
    return 0;
  }
  Arguments arguments = TRY_CTX(row.name, ParseArguments(row.options(), words, row.positional));
  size_t count = arguments.positional().size();
  if (count < row.least || count > row.most) {
    return Fail(Errc::kInvalid, Cat("missing argument; usage: wherry compose ", row.name,
                                    " [OPTIONS] ", row.usage));
  }
  bool color = TRY(UseColor(call.arguments));
  Project project = TRY(LoadProject(call.arguments, row.files));
  return row.run({call.client, project, arguments, call, color});
}

}  // namespace

std::span<const Option> ComposeOptions() {
  return kGlobal;
}

Result<int> ComposeCommand(const Invocation& call) {
  if (call.words().empty() || call.word(0) == "help") {
    TRY(Print(ListOfCommands()));
    return call.words().empty() ? 1 : 0;
  }
  const auto* row = std::ranges::find(kRows, std::string_view(call.word(0)), &ComposeRow::name);
  if (row == std::end(kRows)) {
    return Fail(Errc::kInvalid,
                Cat("unknown command ", call.word(0), "; see `wherry compose help`"));
  }
  return RunRow(call, *row);
}

}  // namespace wherry::cli
