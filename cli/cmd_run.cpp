// run, create, start, attach.
#include <fcntl.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/commands.h"
#include "cli/create_request.h"
#include "cli/exit_waiter.h"
#include "cli/pull.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;

// What run and create have beside the container's own options.
constexpr Option kCreateOnly[] = {
    {"cidfile", 0, kValue, "FILE", "Write the container's ID to a new file"},
    {"name", 0, kValue, "NAME", "Name of the container"},
    {"platform", 0, kValue, "OS/ARCH", "Platform of the image, for example linux/arm/v7"},
    {"pull", 0, kValue, "WHEN", "Pull the image: missing, always or never"},
    {"quiet", 'q', kFlag, "", "No progress while pulling"},
};
constexpr Option kRunOnly[] = {
    {"detach", 'd', kFlag, "", "Run in the background and print the ID"},
    {"detach-keys", 0, kValue, "KEYS", "Keys that detach from the container"},
};
constexpr Option kStart[] = {
    {"attach", 'a', kFlag, "", "Follow the output and forward signals"},
    {"interactive", 'i', kFlag, "", "Forward standard input"},
};
constexpr Option kAttach[] = {
    {"detach-keys", 0, kValue, "KEYS", "Keys that detach from the container"},
    {"no-stdin", 0, kFlag, "", "Do not forward standard input"},
};

std::vector<Option> Joined(std::initializer_list<std::span<const Option>> tables) {
  std::vector<Option> all;
  for (auto table : tables)
    all.insert(all.end(), table.begin(), table.end());
  return all;
}

void PrintWarnings(JsonValue created) {
  for (const std::string& warning : created["Warnings"].strings()) {
    (void)WriteAll(STDERR_FILENO, Cat("WARNING: ", warning, "\n"), "standard error");
  }
}

Result<> WriteIdFile(const Arguments& arguments, const std::string& id) {
  std::string path = arguments.Value("cidfile");
  if (path.empty())
    return {};
  UniqueFd file = TRY_CTX("--cidfile", Open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
  return WriteAll(file.get(), id, path);
}

Result<JsonDocument> PostCreate(const Invocation& call, const std::string& body) {
  return call.client.Post(
      Target("/containers/create", {{"name", call.arguments.Value("name")},
                                    {"platform", call.arguments.Value("platform")}}),
      body);
}

Result<> PullForRun(const Invocation& call) {
  PullRequest options{call.arguments.Value("platform"), call.arguments.Flag("quiet"),
                      STDERR_FILENO};
  return PullImage(call.client, call.word(0), options);
}

// Creates the container, pulling the image by the rule of --pull. Returns its ID.
Result<std::string> Create(const Invocation& call, bool attach) {
  std::string when = call.arguments.Value("pull", "missing");
  if (when != "missing" && when != "always" && when != "never") {
    return Fail(Errc::kInvalid, Cat("option --pull takes missing, always or never, not ", when));
  }
  std::string body = TRY(CreateBody(call.arguments, attach));
  if (when == "always")
    TRY(PullForRun(call));
  auto created = PostCreate(call, body);
  if (!created && created.error().code() == Errc::kNotFound && when == "missing") {
    (void)WriteAll(STDERR_FILENO, Cat("Image ", call.word(0), " is not here, pulling it\n"),
                   "standard error");
    TRY(PullForRun(call));
    created = PostCreate(call, body);
  }
  if (!created)
    return std::unexpected(std::move(created).error());
  PrintWarnings(created->root());
  std::string id((*created)["Id"].str());
  TRY(WriteIdFile(call.arguments, id));
  return id;
}

std::string ContainerPath(std::string_view id, std::string_view action) {
  return Cat("/containers/", Segment(id), "/", action);
}

// 126 and 127 travel as the exit code the daemon stored for a command that could not be started.
Result<int> StartFailure(Client& client, const std::string& id, Error error, bool remove) {
  int status = 125;
  if (auto container = client.Get(Target(ContainerPath(id, "json")))) {
    int64_t code = (*container)["State"]["ExitCode"].integer();
    if (code == 126 || code == 127)
      status = static_cast<int>(code);
  } else if (error.message().find("executable file not found") != std::string::npos ||
             error.message().find("no such file or directory") != std::string::npos) {
    status = 127;
  }
  if (remove)
    (void)client.Delete(Target(Cat("/containers/", Segment(id)), {{"force", "1"}}));
  (void)WriteAll(STDERR_FILENO, Cat("wherry run: ", error.message(), "\n"), "standard error");
  return status;
}

Result<int> RunDetached(const Invocation& call) {
  std::string id = TRY(Create(call, false));
  auto started = call.client.Post(Target(ContainerPath(id, "start")));
  if (!started)
    return StartFailure(call.client, id, std::move(started).error(), call.arguments.Flag("rm"));
  TRY(Print(Cat(id, "\n")));
  return 0;
}

Result<bool> HasTerminal(Client& client, const std::string& id) {
  auto container = TRY(client.Get(Target(ContainerPath(id, "json"))));
  return container["Config"]["Tty"].boolean();
}

}  // namespace

std::span<const Option> RunOptions() {
  static const std::vector<Option> kAll = Joined({kRunOnly, kCreateOnly, CreateOptions()});
  return kAll;
}
std::span<const Option> CreateCommandOptions() {
  static const std::vector<Option> kAll = Joined({kCreateOnly, CreateOptions()});
  return kAll;
}
std::span<const Option> StartOptions() {
  return kStart;
}
std::span<const Option> AttachOptions() {
  return kAttach;
}

Result<int> CreateCommand(const Invocation& call) {
  std::string id = TRY(Create(call, false));
  TRY(Print(Cat(id, "\n")));
  return 0;
}

Result<int> RunCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  if (arguments.Flag("detach"))
    return RunDetached(call);
  bool terminal = arguments.Flag("tty");
  bool interactive = arguments.Flag("interactive");
  if (terminal && interactive && !IsTerminal(STDIN_FILENO)) {
    return Fail(Errc::kInvalid, "standard input is not a terminal; leave out --tty (-t)");
  }
  std::string id = TRY(Create(call, true));
  AttachRequest request{interactive, terminal, true, false, arguments.Value("detach-keys")};
  auto attachment = TRY(Attachment::Open(call.client, id, request));
  auto waiter =
      TRY(ExitWaiter::Open(call.client, id, arguments.Flag("rm") ? "removed" : "next-exit"));
  auto started = call.client.Post(Target(ContainerPath(id, "start")));
  if (!started)
    return StartFailure(call.client, id, std::move(started).error(), arguments.Flag("rm"));
  if (TRY(attachment.Run()) == Attachment::End::kDetached)
    return 0;
  return waiter.Wait();
}

Result<int> StartCommand(const Invocation& call) {
  bool attach = call.arguments.Flag("attach") || call.arguments.Flag("interactive");
  if (attach && call.words().size() != 1)
    return Fail(Errc::kInvalid, "only one container can be started with --attach");
  if (attach) {
    std::string id = call.word(0);
    bool terminal = TRY(HasTerminal(call.client, id));
    AttachRequest request{call.arguments.Flag("interactive"), terminal, true, false, {}};
    auto attachment = TRY(Attachment::Open(call.client, id, request));
    auto waiter = TRY(ExitWaiter::Open(call.client, id, "next-exit"));
    TRY(call.client.Post(Target(ContainerPath(id, "start"))));
    if (TRY(attachment.Run()) == Attachment::End::kDetached)
      return 0;
    return waiter.Wait();
  }
  return ForEachWord(call, [&call](const std::string& id) -> Result<> {
    auto started = call.client.Post(Target(ContainerPath(id, "start")));
    if (!started && started.error().code() != Errc::kNotModified)
      return std::unexpected(std::move(started).error());
    return {};
  });
}

Result<int> AttachCommand(const Invocation& call) {
  const std::string& id = call.word(0);
  auto container = TRY(call.client.Get(Target(ContainerPath(id, "json"))));
  if (!container["State"]["Running"].boolean()) {
    return Fail(Errc::kConflict,
                Cat("container ", id, " is not running; start it with `wherry start ", id, "`"));
  }
  bool input = !call.arguments.Flag("no-stdin") && container["Config"]["OpenStdin"].boolean();
  AttachRequest request{input, container["Config"]["Tty"].boolean(), true, false,
                        call.arguments.Value("detach-keys")};
  auto waiter = TRY(ExitWaiter::Open(call.client, id, "next-exit"));
  auto attachment = TRY(Attachment::Open(call.client, id, request));
  if (TRY(attachment.Run()) == Attachment::End::kDetached)
    return 0;
  return waiter.Wait();
}

}  // namespace wherry::cli
