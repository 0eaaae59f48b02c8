// wherry-runtime: the command line of OCI runtimes, as podman, containerd and Docker call it, over
// core/runtime. docs/runtime.md says what is supported.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci_runtime/command.h"
#include "core/sys/kernel.h"
#include "core/sys/spawn.h"

namespace wherry::oci_runtime {

namespace {

constexpr std::string_view kName = "wherry-runtime";
constexpr int kFailure = 1;
constexpr int kExecFailure = 255;

constexpr OptionRow kGlobalRows[] = {
    {"root", 0, Takes::kValue},           {"log", 0, Takes::kValue},
    {"log-format", 0, Takes::kValue},     {"log-level", 0, Takes::kValue},
    {"debug", 0, Takes::kNothing},        {"rootless", 0, Takes::kValue},
    {"cgroup-manager", 0, Takes::kValue}, {"systemd-cgroup", 0, Takes::kNothing},
    {"version", 'v', Takes::kNothing},    {"help", 'h', Takes::kNothing},
};
constexpr std::span<const OptionRow> kNone;
constexpr OptionRow kKillRows[] = {{"all", 'a', Takes::kNothing}};
constexpr OptionRow kDeleteRows[] = {{"force", 'f', Takes::kNothing}};
constexpr OptionRow kListRows[] = {{"format", 'f', Takes::kValue}, {"quiet", 'q', Takes::kNothing}};
constexpr OptionRow kPsRows[] = {{"format", 'f', Takes::kValue}};
constexpr OptionRow kEventsRows[] = {{"stats", 0, Takes::kNothing}, {"interval", 0, Takes::kValue}};
constexpr OptionRow kSpecRows[] = {{"bundle", 'b', Takes::kValue},
                                   {"rootless", 0, Takes::kNothing}};

constexpr std::span<const OptionRow> kKillOptions = kKillRows;
constexpr std::span<const OptionRow> kDeleteOptions = kDeleteRows;
constexpr std::span<const OptionRow> kListOptions = kListRows;
constexpr std::span<const OptionRow> kPsOptions = kPsRows;
constexpr std::span<const OptionRow> kEventsOptions = kEventsRows;
constexpr std::span<const OptionRow> kSpecOptions = kSpecRows;

constexpr size_t kAny = 1000;

struct ManagerRow {
  std::string_view name;
  CgroupManager manager;
};
constexpr ManagerRow kManagers[] = {{"cgroupfs", CgroupManager::kRuntime},
                                    {"systemd", CgroupManager::kSystemd},
                                    {"disabled", CgroupManager::kNobody}};

// clang-format off
constexpr Command kCommands[] = {
    {"create", "ID", "build a container; it waits for start", &kCreateOptions, 1, 1, kFailure, &Create, true},
    {"start", "ID", "let a created container run its program", &kNone, 1, 1, kFailure, &Start},
    {"run", "ID", "create, start, wait, delete", &kRunOptions, 1, 1, kFailure, &Run, true},
    {"state", "ID", "its state as JSON", &kNone, 1, 1, kFailure, &ShowState},
    {"kill", "ID [SIGNAL]", "send a signal, TERM by default", &kKillOptions, 1, 2, kFailure, &Kill},
    {"delete", "ID", "remove a container that has stopped", &kDeleteOptions, 1, 1, kFailure, &Delete},
    {"exec", "ID PROGRAM [ARG...]", "a further process in it", &kExecOptions, 1, kAny, kExecFailure, &Exec, true},
    {"ps", "ID", "its processes", &kPsOptions, 1, kAny, kFailure, &Ps},
    {"list", "", "all containers", &kListOptions, 0, 0, kFailure, &List},
    {"pause", "ID", "freeze its processes", &kNone, 1, 1, kFailure, &Pause},
    {"resume", "ID", "let them go on", &kNone, 1, 1, kFailure, &Resume},
    {"update", "ID", "change its limits", &kUpdateOptions, 1, 1, kFailure, &Update},
    {"events", "ID", "its counters and kills by the kernel as JSON lines", &kEventsOptions, 1, 1, kFailure, &Events},
    {"features", "", "what this runtime can do, as JSON", &kNone, 0, 0, kFailure, &Features},
    {"spec", "", "write a config.json to begin with", &kSpecOptions, 0, 0, kFailure, &WriteSpec},
};
// clang-format on

void ShowUsage() {
  std::string text = Cat("usage: ", kName, " [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n");
  for (const Command& command : kCommands) {
    std::string left = Cat("  ", command.name, " ", command.arguments);
    left.append(left.size() < 32 ? 32 - left.size() : 1, ' ');
    Append(text, left, command.summary, "\n");
  }
  (void)WriteAll(STDOUT_FILENO, text, "standard output");
}

Result<UniqueFd> OpenLog(const Globals& globals) {
  return Open(globals.log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY, 0600);
}

void AppendToLog(const Globals& globals, std::string_view level, std::string_view message) {
  if (globals.log.empty())
    return;
  std::string time = FormatRfc3339Nano(UnixNanosNow());
  JsonWriter json;
  json.Object().Field("level", level).Field("msg", message).Field("time", time).End();
  std::string line = json.Take();
  if (!globals.log_json) {
    std::string quoted;
    AppendJsonString(quoted, message);
    line = Cat("time=\"", time, "\" level=", level, " msg=", quoted);
  }
  Result<UniqueFd> log = OpenLog(globals);
  if (log)
    (void)WriteAll(log->get(), Cat(line, "\n"), globals.log);
}

void Report(const Globals& globals, std::string_view level, std::string_view message) {
  AppendToLog(globals, level, message);
  (void)WriteAll(STDERR_FILENO, Cat(kName, ": ", message, "\n"), "standard error");
}

Result<Globals> ReadGlobals(const Options& options) {
  Globals globals;
  globals.log = options.Value("log");
  std::string format = options.Value("log-format");
  globals.log_json = format == "json";
  if (!format.empty() && format != "json" && format != "text")
    return Fail(Errc::kInvalid, Cat("--log-format ", format, " is neither json nor text"));
  if (options.Has("root"))
    globals.root = options.Value("root");
  else if (const char* own = getenv("XDG_RUNTIME_DIR"); own != nullptr && geteuid() != 0)
    globals.root = Cat(own, "/", kName);
  if (globals.root.empty())
    return Fail(Errc::kInvalid, "--root is empty");
  std::string name = options.Has("systemd-cgroup") ? "systemd" : "cgroupfs";
  if (options.Has("cgroup-manager"))
    name = options.Value("cgroup-manager");
  const ManagerRow* manager = std::ranges::find(kManagers, name, &ManagerRow::name);
  if (manager == std::end(kManagers)) {
    return Fail(Errc::kInvalid,
                Cat("--cgroup-manager ", name, " is none of cgroupfs, systemd and disabled"));
  }
  globals.cgroup_manager = manager->manager;
  std::string rootless = options.Value("rootless");
  if (!rootless.empty() && rootless != "true" && rootless != "false" && rootless != "auto")
    return Fail(Errc::kInvalid, Cat("--rootless ", rootless, " is none of true, false and auto"));
  if (rootless == "false" && geteuid() != 0)
    return Fail(Errc::kDenied, "only root can run containers with --rootless false");
  if (!globals.log.empty())
    TRY_CTX("--log", OpenLog(globals));
  return globals;
}

void ShowUsage(const Command& command) {
  std::string text = Cat("usage: ", kName, " ", command.name, " [OPTION...] ", command.arguments,
                         "\n", command.summary, "\n");
  for (const OptionRow& row : *command.options) {
    if (row.takes == Takes::kRefused)
      continue;
    Append(text, "  --", row.name);
    if (row.letter != 0)
      Append(text, ", -", row.letter);
    text += row.takes == Takes::kValue ? " VALUE\n" : "\n";
  }
  (void)WriteAll(STDOUT_FILENO, text, "standard output");
}

Result<int> RunCommand(const Command& command, const Globals& globals,
                       const std::vector<std::string>& words) {
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    ShowUsage(command);
    return 0;
  }
  Options options = TRY(Options::Parse(*command.options, words));
  size_t count = options.arguments().size();
  if (count < command.least || count > command.most) {
    return Fail(Errc::kInvalid, Cat("wrong number of arguments; usage: ", kName, " ", command.name,
                                    " [OPTION...] ", command.arguments));
  }
  return command.run({globals, options});
}

int Main(int argc, char** argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  Globals globals;
  auto refuse = [&globals](int status, const Error& error) {
    Report(globals, "error", error.message());
    return status;
  };
  Result<Options> options = Options::Parse(kGlobalRows, words);
  if (!options)
    return refuse(kFailure, options.error());
  Result<Globals> read = ReadGlobals(*options);
  globals.log = options->Value("log");
  globals.log_json = options->Value("log-format") == "json";
  if (!read)
    return refuse(kFailure, read.error());
  globals = std::move(*read);
  if (options->Has("version")) {
    (void)WriteAll(STDOUT_FILENO,
                   Cat(kName, " version ", WHERRY_VERSION, "\ncommit: v", WHERRY_VERSION,
                       "\nspec: ", kSpecVersion, "\n"),
                   "standard output");
    return 0;
  }
  const std::vector<std::string>& rest = options->arguments();
  if (options->Has("help") || rest.empty()) {
    ShowUsage();
    return options->Has("help") ? 0 : kFailure;
  }
  auto command = std::ranges::find(kCommands, rest[0], &Command::name);
  if (command == std::end(kCommands))
    return refuse(kFailure,
                  Error(Errc::kUnsupported, Cat("the command ", rest[0], " is not supported")));
  if (Result<> able = sys::CheckKernel(); !able)
    return refuse(command->failure, able.error());
  // What a clone of this process executes could be a link to its own program, and that file would
  // be the host's (CVE-2019-5736).
  if (command->enters) {
    Result<> again = sys::ReexecuteProtected(argv, environ);
    if (!again)
      return refuse(command->failure, again.error());
  }
  Result<int> status = RunCommand(*command, globals, {rest.begin() + 1, rest.end()});
  return status ? *status : refuse(command->failure, status.error());
}

}  // namespace

void Warn(const Globals& globals, std::string_view message) {
  Report(globals, "warning", message);
}

}  // namespace wherry::oci_runtime

int main(int argc, char** argv) {
  return wherry::oci_runtime::Main(argc, argv);
}
