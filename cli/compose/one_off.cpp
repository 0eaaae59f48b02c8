#include "cli/compose/one_off.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/attach.h"
#include "cli/compose/resources.h"
#include "cli/compose/up.h"
#include "cli/exit_waiter.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/compose/body.h"
#include "engine/compose/ports.h"
#include "engine/compose/service.h"
#include "engine/compose/volumes.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kExec[] = {
    {"detach", 'd', kFlag, "", "Do not wait for the program"},
    {"env", 'e', kList, "NAME[=VALUE]", "Environment variable"},
    {"index", 0, kValue, "NUMBER", "Which container of the service, 1 by default"},
    {"no-TTY", 'T', kFlag, "", "No terminal"},
    {"privileged", 0, kFlag, "", "Give the program all capabilities"},
    {"user", 'u', kValue, "USER[:GROUP]", "Name or number of the user"},
    {"workdir", 'w', kValue, "DIR", "Directory to start in"},
};
constexpr Option kRun[] = {
    {"build", 0, kFlag, "", "Build the image first"},
    {"detach", 'd', kFlag, "", "Run in the background and print the name"},
    {"entrypoint", 0, kValue, "COMMAND", "Replace the entry point"},
    {"env", 'e', kList, "NAME[=VALUE]", "Environment variable"},
    {"label", 'l', kList, "NAME[=VALUE]", "Label of the container"},
    {"name", 0, kValue, "NAME", "Name of the container"},
    {"no-TTY", 'T', kFlag, "", "No terminal"},
    {"no-deps", 0, kFlag, "", "Do not start what the service depends on"},
    {"publish", 'p', kList, "[[ADDRESS:]HOST:]PORT[/udp]", "Offer a port on the host"},
    {"rm", 0, kFlag, "", "Remove the container when it ends"},
    {"service-ports", 'P', kFlag, "", "Offer the service's ports on the host"},
    {"use-aliases", 0, kFlag, "", "Reachable by the service's names, too"},
    {"user", 'u', kValue, "USER[:GROUP]", "Name or number of the user"},
    {"volume", 'v', kList, "SOURCE:PATH[:ro]", "Mount a volume or directory of the host"},
    {"workdir", 'w', kValue, "DIR", "Directory to start in"},
};

bool HasTerminal() {
  return IsTerminal(STDIN_FILENO) && IsTerminal(STDOUT_FILENO);
}

std::string Json(std::string_view text) {
  return JsonWriter().String(text).Take();
}

Result<> AddVolumes(const Arguments& arguments, const compose::Group& group,
                    compose::Service& service) {
  for (const std::string& word : arguments.List("volume")) {
    auto parts = Split(word, ':');
    if (parts.size() < 2 || parts.size() > 3)
      return Fail(Errc::kInvalid, Cat("--volume ", word, " is not SOURCE:PATH[:MODE]"));
    compose::Mount mount;
    bool path = parts[0].starts_with('.') || parts[0].starts_with('/');
    mount.type = path ? compose::Mount::Type::kBind : compose::Mount::Type::kVolume;
    mount.source = compose::ResolvePath(group.directory, "", path ? parts[0] : std::string_view());
    if (!path)
      mount.source = parts[0];
    mount.target = parts[1];
    mount.mode = parts.size() == 3 ? parts[2] : "rw";
    service.mounts.push_back(std::move(mount));
  }
  return {};
}

// The service as the options of `run` change it.
Result<compose::Service> Changed(const ComposeCall& call, const compose::Service& original) {
  const Arguments& arguments = call.arguments;
  compose::Service service = original;
  if (call.words().size() > 1) {
    std::vector<std::string> command(call.words().begin() + 1, call.words().end());
    service.config["Cmd"] = JsonWriter().Strings(command).Take();
  }
  if (arguments.Has("entrypoint")) {
    auto words = TRY_CTX("--entrypoint", compose::SplitCommand(arguments.Value("entrypoint")));
    service.config["Entrypoint"] = JsonWriter().Strings(words).Take();
    if (call.words().size() == 1)
      service.config.erase("Cmd");
  }
  for (const std::string& word : arguments.List("env")) {
    auto split = SplitFirst(word, '=');
    if (split) {
      service.environment[std::string(split->head)] = split->tail;
    } else if (const char* value = getenv(word.c_str())) {
      service.environment[word] = value;
    }
  }
  for (const std::string& word : arguments.List("label")) {
    auto split = SplitFirst(word, '=');
    service.labels[std::string(split ? split->head : word)] = split ? split->tail : "";
  }
  if (arguments.Has("user"))
    service.config["User"] = Json(arguments.Value("user"));
  if (arguments.Has("workdir"))
    service.config["WorkingDir"] = Json(arguments.Value("workdir"));
  if (!arguments.Flag("service-ports"))
    service.ports.clear();
  for (const std::string& word : arguments.List("publish")) {
    for (compose::Port& port : TRY_CTX("--publish", compose::ParsePorts(word)))
      service.ports.push_back(std::move(port));
  }
  TRY(AddVolumes(arguments, call.project.group, service));
  service.host_config.erase("RestartPolicy");
  service.tty = !arguments.Flag("no-TTY") && !arguments.Flag("detach") && HasTerminal();
  service.stdin_open = !arguments.Flag("detach");
  service.container_name.clear();
  return service;
}

Result<> StartDependencies(const ComposeCall& call, const compose::Service& service) {
  UpRequest request;
  if (!call.arguments.Flag("no-deps"))
    request.services = TRY(ServicesOf(call, {service.name}, compose::Dependencies::kInclude));
  std::erase_if(request.services, [&](const auto* one) { return one->name == service.name; });
  request.build = BuildWhen::kByPolicy;
  Converger converger(call, std::move(request));
  TRY(converger.Create());
  TRY(converger.Start([](const GroupContainer&, bool) {}));
  return converger.WaitForDependencies(service);
}

Result<int> StartAttached(const ComposeCall& call, const GroupContainer& container,
                          const compose::Service& service) {
  AttachRequest request{.input = service.stdin_open,
                        .terminal = service.tty,
                        .signals = true,
                        .logs = false,
                        .detach_keys = {}};
  auto attachment = TRY(Attachment::Open(call.client, container.id, request));
  auto waiter = TRY(ExitWaiter::Open(call.client, container.id,
                                     call.arguments.Flag("rm") ? "removed" : "next-exit"));
  auto started = Act(call.client, container, "start");
  if (!started) {
    if (call.arguments.Flag("rm"))
      (void)RemoveContainer(call.client, container, true, true);
    return std::unexpected(std::move(started).error());
  }
  if (TRY(attachment.Run()) == Attachment::End::kDetached)
    return 0;
  return waiter.Wait();
}

}  // namespace

std::span<const Option> ComposeExecOptions() {
  return kExec;
}
std::span<const Option> ComposeRunOptions() {
  return kRun;
}

// The `exec` command does it, once the container is known.
Result<int> ComposeExec(const ComposeCall& call) {
  const Arguments& arguments = call.arguments;
  const std::string& service = call.words()[0];
  int64_t index = TRY_CTX("--index", ParseInt(arguments.Value("index", "1")));
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  auto some = ContainersOf(all, {service});
  auto found = std::ranges::find_if(some, [&](const GroupContainer& one) {
    return one.state == "running" && (one.number == index || !arguments.Has("index"));
  });
  if (found == some.end())
    return Fail(Errc::kConflict, Cat("service ", service, " is not running"));
  std::vector<std::string> words;
  bool detach = arguments.Flag("detach");
  if (detach) {
    words.emplace_back("--detach");
  } else {
    words.emplace_back("--interactive");
    if (!arguments.Flag("no-TTY") && HasTerminal())
      words.emplace_back("--tty");
  }
  if (arguments.Flag("privileged"))
    words.emplace_back("--privileged");
  for (const std::string& variable : arguments.List("env"))
    words.push_back(Cat("--env=", variable));
  for (std::string_view name : {"user", "workdir"}) {
    if (arguments.Has(name))
      words.push_back(Cat("--", name, "=", arguments.Value(name)));
  }
  words.push_back(found->id);
  words.insert(words.end(), call.words().begin() + 1, call.words().end());
  Arguments inner = TRY(ParseArguments(ExecOptions(), words, Positional::kEndsOptions));
  return ExecCommand({call.client, inner, call.outer.config_file});
}

Result<int> ComposeRun(const ComposeCall& call) {
  const compose::Group& group = call.project.group;
  const compose::Service* original = group.FindService(call.words()[0]);
  if (original == nullptr)
    return Fail(Errc::kNotFound, Cat("no such service: ", call.words()[0]));
  compose::Service service = TRY(Changed(call, *original));
  TRY(StartDependencies(call, *original));
  auto build = call.arguments.Flag("build") ? BuildWhen::kAlways : BuildWhen::kByPolicy;
  ServiceImage image = TRY(ProvideImage(call, service, build));
  TRY(ProvideResources(call, {&service}));
  compose::Instance instance;
  instance.name = call.arguments.Value(
      "name", Cat(group.name, "-", service.name, "-run-", RandomId().substr(0, 12)));
  instance.one_off = true;
  instance.use_aliases = call.arguments.Flag("use-aliases");
  instance.auto_remove = call.arguments.Flag("rm");
  instance.attach_input = service.stdin_open;
  instance.image_id = image.id;
  instance.network_container = TRY(NetworkContainer(call, service));
  GroupContainer container;
  container.name = instance.name;
  container.id = TRY(PostContainer(call.client, instance.name, service.platform,
                                   ContainerBody(group, service, instance)));
  if (!call.arguments.Flag("detach"))
    return StartAttached(call, container, service);
  TRY(Act(call.client, container, "start"));
  TRY(Print(Cat(container.name, "\n")));
  return 0;
}

}  // namespace wherry::cli
