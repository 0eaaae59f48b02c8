#include "cli/compose/up.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "cli/compose/down.h"
#include "cli/compose/follow.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr OptionKind kList = OptionKind::kList;

constexpr Option kUp[] = {
    {"build", 0, kFlag, "", "Build images first"},
    {"detach", 'd', kFlag, "", "Leave the containers in the background"},
    {"force-recreate", 0, kFlag, "", "Make all containers anew"},
    {"no-build", 0, kFlag, "", "Do not build missing images"},
    {"no-color", 0, kFlag, "", "No colours"},
    {"no-deps", 0, kFlag, "", "Leave out what services depend on"},
    {"no-log-prefix", 0, kFlag, "", "Lines as they are"},
    {"no-recreate", 0, kFlag, "", "Leave existing containers as they are"},
    {"no-start", 0, kFlag, "", "Create without starting"},
    {"quiet-pull", 0, kFlag, "", "No progress while pulling"},
    {"remove-orphans", 0, kFlag, "", "Remove containers of services that are gone"},
    {"scale", 0, kList, "SERVICE=NUMBER", "How many containers of a service"},
    {"timeout", 't', kValue, "SECONDS", "Wait so long before killing"},
    {"wait", 0, kFlag, "", "Wait until services run or are healthy; with --detach"},
    {"wait-timeout", 0, kValue, "SECONDS", "Wait so long at most"},
};
constexpr Option kCreate[] = {
    {"build", 0, kFlag, "", "Build images first"},
    {"force-recreate", 0, kFlag, "", "Make all containers anew"},
    {"no-build", 0, kFlag, "", "Do not build missing images"},
    {"no-recreate", 0, kFlag, "", "Leave existing containers as they are"},
    {"remove-orphans", 0, kFlag, "", "Remove containers of services that are gone"},
    {"scale", 0, kList, "SERVICE=NUMBER", "How many containers of a service"},
};

Result<UpRequest> ReadRequest(const ComposeCall& call) {
  const Arguments& arguments = call.arguments;
  UpRequest request;
  request.services = TRY(ServicesOf(call, call.words(),
                                    arguments.Flag("no-deps") ? compose::Dependencies::kLeaveOut
                                                              : compose::Dependencies::kInclude));
  if (request.services.empty())
    return Fail(Errc::kInvalid, "no service to start; profiles may leave all of them out");
  for (const std::string& word : arguments.List("scale")) {
    auto split = SplitFirst(word, '=');
    auto count = split ? ParseUint(split->tail) : Result<uint64_t>(0);
    if (!split || !count || *count > 1000)
      return Fail(Errc::kInvalid, Cat("--scale ", word, " is not SERVICE=NUMBER"));
    std::string name(split->head);
    const compose::Service* service = call.project.group.FindService(name);
    if (service == nullptr)
      return Fail(Errc::kNotFound, Cat("no such service: ", name));
    if (*count > 1 && !service->container_name.empty()) {
      return Fail(Errc::kInvalid,
                  Cat("service ", name, " has a container_name, so there can be one only"));
    }
    request.scale[name] = static_cast<int64_t>(*count);
  }
  if (arguments.Flag("build"))
    request.build = BuildWhen::kAlways;
  if (arguments.Flag("no-build"))
    request.build = BuildWhen::kNever;
  request.force_recreate = arguments.Flag("force-recreate");
  request.never_recreate = arguments.Flag("no-recreate");
  if (arguments.Has("wait-timeout"))
    request.limits.seconds = TRY_CTX("--wait-timeout", ParseInt(arguments.Value("wait-timeout")));
  return request;
}

Result<UniqueFd> BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0)
    return FailSys("sigprocmask");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd)
    return FailSys("signalfd");
  return fd;
}

// The containers that one `up` follows, and their common end.
class Attached {
 public:
  explicit Attached(const ComposeCall& call) : call_(call) {}

  // Until all have ended, or a signal has stopped them; a second one kills.
  Result<> Wait(const UniqueFd& signals, const LogFollower& follower,
                const std::vector<GroupContainer>& containers) {
    std::thread stopper;
    auto result = Poll(signals, follower, containers, stopper);
    if (stopper.joinable())
      stopper.join();
    return result;
  }

 private:
  Result<> Poll(const UniqueFd& signals, const LogFollower& follower,
                const std::vector<GroupContainer>& containers, std::thread& stopper) {
    for (;;) {
      pollfd watched[] = {{signals.get(), POLLIN, 0}, {follower.ended_fd(), POLLIN, 0}};
      if (poll(watched, std::size(watched), -1) < 0 && errno != EINTR)
        return FailSys("poll");
      if (watched[0].revents != 0) {
        OnSignal(signals, containers, stopper);
      } else if (watched[1].revents != 0) {
        return {};
      }
    }
  }

  void OnSignal(const UniqueFd& signals, const std::vector<GroupContainer>& containers,
                std::thread& stopper) {
    signalfd_siginfo info{};
    (void)!read(signals.get(), &info, sizeof info);
    if (stopper.joinable()) {
      (void)ForAll(call_.client, containers, [](Client& client, const GroupContainer& one) {
        return Act(client, one, "kill");
      });
      return;
    }
    Say("Gracefully stopping... (press Ctrl+C again to force)");
    stopper = std::thread([this, &containers] { Stop(containers); });
  }

  void Stop(const std::vector<GroupContainer>& containers) {
    Query query{{"t", call_.arguments.Value("timeout")}};
    auto stopped = ForAll(call_.client, containers, [&](Client& client, const GroupContainer& one) {
      return Act(client, one, "stop", query);
    });
    if (!stopped)
      Say(stopped.error().message());
  }

  const ComposeCall& call_;
};

size_t WidestName(const ComposeCall& call, const Converger& converger) {
  size_t width = 0;
  for (const auto& [service, list] : converger.containers()) {
    for (const GroupContainer& container : list)
      width = std::max(width, ShortName(call.project, container).size());
  }
  return width;
}

Result<int> RunAttached(const ComposeCall& call, Converger& converger) {
  UniqueFd signals = TRY(BlockSignals());
  LogFollower::Options options;
  options.color = call.color && !call.arguments.Flag("no-color");
  options.prefix = !call.arguments.Flag("no-log-prefix");
  options.tell_exit = true;
  options.width = WidestName(call, converger);
  LogFollower follower(call.client, std::move(options));
  std::vector<GroupContainer> followed;
  converger.SetCancelled([&signals] {
    pollfd watched{signals.get(), POLLIN, 0};
    return poll(&watched, 1, 0) > 0;
  });
  auto started = converger.Start([&](const GroupContainer& container, bool was_running) {
    std::string since;
    auto inspected = call.client.Get(Target(Cat("/containers/", container.id, "/json")));
    if (inspected && !was_running)
      since = (*inspected)["State"]["StartedAt"].str();
    follower.Add(container, ShortName(call.project, container), was_running ? "0s" : since);
    followed.push_back(container);
  });
  if (!started) {
    // What runs is stopped, so that its followers end.
    follower.AllAdded();
    (void)ForAll(call.client, followed, [](Client& client, const GroupContainer& one) {
      return Act(client, one, "stop");
    });
    return std::unexpected(std::move(started).error());
  }
  follower.AllAdded();
  TRY(Attached(call).Wait(signals, follower, followed));
  return 0;
}

Result<> TellOrphans(const ComposeCall& call) {
  auto orphans = TRY(OrphansOf(call));
  if (orphans.empty())
    return {};
  if (call.arguments.Flag("remove-orphans"))
    return StopAndRemove(call, orphans, {});
  std::string names;
  for (const GroupContainer& orphan : orphans)
    Append(names, names.empty() ? "" : ", ", orphan.name);
  Say(Cat("WARNING: containers of services that are not in the file: ", names,
          "; --remove-orphans removes them"));
  return {};
}

}  // namespace

std::span<const Option> ComposeUpOptions() {
  return kUp;
}
std::span<const Option> ComposeCreateOptions() {
  return kCreate;
}

Result<int> ComposeCreate(const ComposeCall& call) {
  Converger converger(call, TRY(ReadRequest(call)));
  TRY(TellOrphans(call));
  TRY(converger.Create());
  return 0;
}

Result<int> ComposeUp(const ComposeCall& call) {
  UpRequest request = TRY(ReadRequest(call));
  Converger converger(call, std::move(request));
  TRY(TellOrphans(call));
  TRY(converger.Create());
  if (call.arguments.Flag("no-start"))
    return 0;
  bool wait = call.arguments.Flag("wait");
  if (!wait && !call.arguments.Flag("detach"))
    return RunAttached(call, converger);
  TRY(converger.Start([](const GroupContainer&, bool) {}));
  if (wait)
    TRY(converger.WaitUntilAllUp());
  return 0;
}

}  // namespace wherry::cli
