#include "cli/compose/down.h"

#include <unistd.h>

#include <algorithm>

#include "cli/compose/resources.h"
#include "cli/compose/wait.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;

constexpr Option kDown[] = {
    {"remove-orphans", 0, kFlag, "", "Remove containers of services that are not in the file"},
    {"rmi", 0, kValue, "WHICH", "Remove images: local (those without a name in the file) or all"},
    {"timeout", 't', kValue, "SECONDS", "Wait so long before killing"},
    {"volumes", 'v', kFlag, "", "Remove the volumes, too"},
};
constexpr Option kStop[] = {
    {"timeout", 't', kValue, "SECONDS", "Wait so long before killing"},
};
constexpr Option kKill[] = {
    {"signal", 's', kValue, "SIGNAL", "Signal to send, KILL by default"},
};
constexpr Option kRm[] = {
    {"force", 'f', kFlag, "", "Do not ask"},
    {"stop", 's', kFlag, "", "Stop them first"},
    {"volumes", 'v', kFlag, "", "Remove their anonymous volumes, too"},
};

bool IsKnown(const ComposeCall& call, const GroupContainer& container) {
  return call.project.group.FindService(container.service) != nullptr;
}

// Groups of containers that may end at the same time, in the reverse order of their start.
Result<std::vector<std::vector<GroupContainer>>> EndOrder(const ComposeCall& call,
                                                          std::vector<GroupContainer> all) {
  std::vector<std::vector<GroupContainer>> order;
  std::vector<GroupContainer> others;
  for (const GroupContainer& one : all) {
    if (one.one_off || !IsKnown(call, one))
      others.push_back(one);
  }
  if (!others.empty())
    order.push_back(std::move(others));
  if (!call.project.has_files)
    return order;
  auto services =
      TRY(compose::SelectServices(call.project.group, {}, {"*"}, compose::Dependencies::kInclude));
  std::ranges::reverse(services);
  for (const compose::Service* service : services) {
    auto some = ContainersOf(all, {service->name});
    std::erase_if(some, [](const GroupContainer& one) { return one.one_off; });
    if (!some.empty())
      order.push_back(std::move(some));
  }
  return order;
}

Result<> CheckServices(const ComposeCall& call) {
  for (const std::string& name : call.words()) {
    if (call.project.has_files && call.project.group.FindService(name) == nullptr)
      return Fail(Errc::kNotFound, Cat("no such service: ", name));
  }
  return {};
}

struct Verb {
  std::string_view action;  // of the API
  std::string_view done;    // "Stopped"
  bool reverse;             // ends what others depend on last
};

Result<int> ActOnAll(const ComposeCall& call, const Verb& verb, const Query& query) {
  TRY(CheckServices(call));
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  auto order = TRY(EndOrder(call, ContainersOf(all, call.words())));
  if (!verb.reverse)
    std::ranges::reverse(order);
  auto act = [&](Client& client, const GroupContainer& one) -> Result<> {
    TRY(Act(client, one, verb.action, query));
    Say(Cat("Container ", one.name, "  ", verb.done));
    return {};
  };
  for (const auto& containers : order)
    TRY(ForAll(call.client, containers, act));
  return 0;
}

Result<> RemoveImages(const ComposeCall& call, std::string_view which) {
  for (const compose::Service& service : call.project.group.services) {
    bool local = service.build && service.image == Cat(call.project.group.name, "-", service.name);
    if (which != "all" && !local)
      continue;
    auto removed = call.client.Delete(Target(Cat("/images/", Segment(service.image))));
    if (removed) {
      Say(Cat("Image ", service.image, "  Removed"));
    } else if (removed.error().code() != Errc::kNotFound) {
      Say(Cat("WARNING: image ", service.image, " stays: ", removed.error().message()));
    }
  }
  return {};
}

}  // namespace

std::span<const Option> ComposeDownOptions() {
  return kDown;
}
std::span<const Option> ComposeStopOptions() {
  return kStop;
}
std::span<const Option> ComposeKillOptions() {
  return kKill;
}
std::span<const Option> ComposeRmOptions() {
  return kRm;
}

Result<std::vector<GroupContainer>> OrphansOf(const ComposeCall& call) {
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  std::erase_if(all, [&](const GroupContainer& one) { return IsKnown(call, one); });
  return all;
}

Result<> StopAndRemove(const ComposeCall& call, const std::vector<GroupContainer>& containers,
                       const RemoveRequest& request) {
  return ForAll(call.client, containers,
                [&](Client& client, const GroupContainer& one) -> Result<> {
                  TRY(Act(client, one, "stop", {{"t", request.timeout}}));
                  TRY(RemoveContainer(client, one, request.volumes, true));
                  Say(Cat("Container ", one.name, "  Removed"));
                  return {};
                });
}

Result<int> ComposeDown(const ComposeCall& call) {
  TRY(CheckServices(call));
  std::string rmi = call.arguments.Value("rmi");
  if (!rmi.empty() && rmi != "local" && rmi != "all")
    return Fail(Errc::kInvalid, Cat("option --rmi takes local or all, not ", rmi));
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kInclude));
  bool orphans = call.arguments.Flag("remove-orphans") || !call.project.has_files;
  if (!orphans)
    std::erase_if(all, [&](const GroupContainer& one) { return !IsKnown(call, one); });
  auto order = TRY(EndOrder(call, ContainersOf(all, call.words())));
  RemoveRequest request{call.arguments.Value("timeout"), call.arguments.Flag("volumes")};
  for (const auto& containers : order)
    TRY(StopAndRemove(call, containers, request));
  if (!call.words().empty())
    return 0;
  TRY(RemoveNetworks(call));
  if (call.arguments.Flag("volumes"))
    TRY(RemoveVolumes(call));
  if (!rmi.empty())
    TRY(RemoveImages(call, rmi));
  return 0;
}

Result<int> ComposeStop(const ComposeCall& call) {
  return ActOnAll(call, {"stop", "Stopped", true}, {{"t", call.arguments.Value("timeout")}});
}

Result<int> ComposeRestart(const ComposeCall& call) {
  return ActOnAll(call, {"restart", "Restarted", false}, {{"t", call.arguments.Value("timeout")}});
}

Result<int> ComposePause(const ComposeCall& call) {
  return ActOnAll(call, {"pause", "Paused", true}, {});
}

Result<int> ComposeUnpause(const ComposeCall& call) {
  return ActOnAll(call, {"unpause", "Unpaused", false}, {});
}

Result<int> ComposeKill(const ComposeCall& call) {
  TRY(CheckServices(call));
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  auto some = ContainersOf(all, call.words());
  std::erase_if(some, [](const GroupContainer& one) { return one.state != "running"; });
  auto kill = [&](Client& client, const GroupContainer& one) -> Result<> {
    TRY(Act(client, one, "kill", {{"signal", call.arguments.Value("signal")}}));
    Say(Cat("Container ", one.name, "  Killed"));
    return {};
  };
  TRY(ForAll(call.client, some, kill));
  return 0;
}

// Each after what it depends on, as `up` does.
Result<int> ComposeStart(const ComposeCall& call) {
  TRY(CheckServices(call));
  if (!call.project.has_files)
    return ActOnAll(call, {"start", "Started", false}, {});
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  for (const compose::Service* service :
       TRY(ServicesOf(call, call.words(), compose::Dependencies::kInclude))) {
    auto some = ContainersOf(all, {service->name});
    std::erase_if(some, [](const GroupContainer& one) { return one.state == "running"; });
    if (some.empty())
      continue;
    for (const compose::Dependency& one : service->depends_on)
      TRY(WaitFor(call.client, ContainersOf(all, {one.service}), one.condition, {}));
    for (const GroupContainer& container : some) {
      TRY(Act(call.client, container, "start"));
      Say(Cat("Container ", container.name, "  Started"));
    }
  }
  return 0;
}

Result<int> ComposeRm(const ComposeCall& call) {
  TRY(CheckServices(call));
  if (call.arguments.Flag("stop"))
    TRY(ComposeStop(call));
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kInclude));
  auto some = ContainersOf(all, call.words());
  std::erase_if(some, [](const GroupContainer& one) { return one.state == "running"; });
  if (some.empty()) {
    Say("No stopped containers");
    return 0;
  }
  bool sure =
      TRY(Confirmed({call.client, call.arguments, {}}, "stopped containers of the project"));
  if (!sure)
    return 0;
  for (const GroupContainer& one : some) {
    TRY(RemoveContainer(call.client, one, call.arguments.Flag("volumes"), false));
    Say(Cat("Container ", one.name, "  Removed"));
  }
  return 0;
}

}  // namespace wherry::cli
