#include <algorithm>

#include "cli/compose/down.h"
#include "cli/compose/resources.h"
#include "cli/compose/up.h"
#include "core/base/text.h"
#include "engine/compose/body.h"

namespace wherry::cli {

namespace {

constexpr std::string_view kServicePrefix = "service:";

std::string_view NetworkProvider(const compose::Service& service) {
  std::string_view mode = service.network_mode;
  return mode.starts_with(kServicePrefix) ? mode.substr(kServicePrefix.size()) : std::string_view();
}

// The anonymous volumes of a container that the one in its place shall have.
Result<std::vector<compose::Instance::Inherited>> Inherit(Client& client, const GroupContainer& old,
                                                          const compose::Service& service,
                                                          const ServiceImage& image) {
  std::vector<compose::Instance::Inherited> volumes;
  auto inspected = TRY(client.Get(Target(Cat("/containers/", old.id, "/json"))));
  for (JsonValue mount : inspected["Mounts"]) {
    std::string target(mount["Destination"].str());
    auto wanted = std::ranges::find(service.mounts, target, &compose::Mount::target);
    bool anonymous = wanted != service.mounts.end()
                         ? wanted->type == compose::Mount::Type::kVolume && wanted->source.empty()
                         : std::ranges::find(image.volumes, target) != image.volumes.end();
    if (mount["Type"].str() == "volume" && anonymous)
      volumes.push_back({std::string(mount["Name"].str()), std::move(target)});
  }
  return volumes;
}

}  // namespace

Result<std::string> NetworkContainer(const ComposeCall& call, const compose::Service& service) {
  std::string provider(NetworkProvider(service));
  if (provider.empty())
    return std::string();
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  auto found = ContainersOf(all, {provider});
  if (found.empty()) {
    return Fail(Errc::kNotFound, Cat("service ", service.name, " uses the network of ", provider,
                                     ", which has no container"));
  }
  return found[0].id;
}

Result<> Converger::Create() {
  std::map<std::string_view, ServiceImage> images;
  for (const compose::Service* service : request_.services)
    images[service->name] = TRY(ProvideImage(call_, *service, request_.build));
  TRY(ProvideResources(call_, request_.services));
  auto all = TRY(ListContainers(call_.client, call_.project.group.name, OneOffs::kLeaveOut));
  for (const compose::Service* service : request_.services) {
    containers_[service->name] = ContainersOf(all, {service->name});
    TRY(Converge(*service, images[service->name]));
  }
  return {};
}

bool Converger::Changed(const compose::Service& service, const ServiceImage& image,
                        const GroupContainer& container) const {
  if (request_.never_recreate)
    return false;
  auto provider = recreated_.find(std::string(NetworkProvider(service)));
  return request_.force_recreate || provider != recreated_.end() ||
         container.hash != ConfigHash(call_.project.group, service) ||
         container.image_label != image.id;
}

Result<> Converger::Converge(const compose::Service& service, const ServiceImage& image) {
  auto scale = request_.scale.find(service.name);
  auto wanted = static_cast<size_t>(scale == request_.scale.end() ? service.scale : scale->second);
  auto& list = containers_[service.name];
  if (wanted < list.size()) {
    std::vector<GroupContainer> excess(list.begin() + static_cast<ptrdiff_t>(wanted), list.end());
    list.resize(wanted);
    TRY(StopAndRemove(call_, excess, {call_.arguments.Value("timeout"), false}));
  }
  for (GroupContainer& container : list) {
    if (Changed(service, image, container)) {
      TRY(Recreate(service, image, container));
      recreated_[service.name] = true;
    }
  }
  int64_t number = 0;
  while (list.size() < wanted) {
    ++number;
    if (std::ranges::find(list, number, &GroupContainer::number) != list.end())
      continue;
    std::string name = ContainerName(call_.project.group, service, number);
    compose::Instance instance = TRY(InstanceOf(service, image, number));
    list.push_back(TRY(CreateOne(service, std::move(instance), name)));
    Say(Cat("Container ", name, "  Created"));
  }
  return {};
}

Result<compose::Instance> Converger::InstanceOf(const compose::Service& service,
                                                const ServiceImage& image, int64_t number) {
  compose::Instance instance;
  instance.number = number;
  instance.image_id = image.id;
  instance.name = ContainerName(call_.project.group, service, number);
  instance.network_container = TRY(NetworkContainer(call_, service));
  return instance;
}

Result<GroupContainer> Converger::CreateOne(const compose::Service& service,
                                            compose::Instance instance, const std::string& name) {
  GroupContainer made;
  made.id = TRY(PostContainer(call_.client, name, service.platform,
                              ContainerBody(call_.project.group, service, instance)));
  made.name = instance.name;
  made.service = service.name;
  made.number = instance.number;
  made.state = "created";
  return made;
}

Result<> Converger::End(const GroupContainer& old) {
  TRY(Act(call_.client, old, "stop", {{"t", call_.arguments.Value("timeout")}}));
  return RemoveContainer(call_.client, old, false, true);
}

// The new one is made beside the old one first: what is refused leaves the old one as it is.
Result<> Converger::Recreate(const compose::Service& service, const ServiceImage& image,
                             GroupContainer& old) {
  compose::Instance instance = TRY(InstanceOf(service, image, old.number));
  instance.volumes = TRY(Inherit(call_.client, old, service, image));
  std::string name = instance.name;
  std::string aside = Cat(old.id.substr(0, 12), "_", name);
  GroupContainer made = TRY(CreateOne(service, std::move(instance), aside));
  if (auto ended = End(old); !ended) {
    (void)RemoveContainer(call_.client, made, false, true);
    return ended;
  }
  TRY(Act(call_.client, made, "rename", {{"name", name}}));
  Say(Cat("Container ", name, "  Recreated"));
  old = std::move(made);
  return {};
}

Result<> Converger::WaitForDependencies(const compose::Service& service) {
  for (const compose::Dependency& dependency : service.depends_on) {
    auto found = containers_.find(dependency.service);
    if (found == containers_.end() || dependency.condition == compose::Condition::kStarted)
      continue;
    WaitLimits limits{.seconds = 0, .cancelled = request_.limits.cancelled};
    auto waited = WaitFor(call_.client, found->second, dependency.condition, limits);
    if (waited)
      continue;
    if (dependency.required || waited.error().code() == Errc::kCancelled) {
      return std::unexpected(std::move(waited).error().Wrap(
          Cat("service ", service.name, " depends on ", dependency.service)));
    }
    Say(Cat("WARNING: service ", service.name, ": ", waited.error().message()));
  }
  return {};
}

Result<> Converger::StartOne(GroupContainer& container) {
  TRY(Act(call_.client, container, "start"));
  container.state = "running";
  Say(Cat("Container ", container.name, "  Started"));
  return {};
}

Result<> Converger::Start(
    const std::function<void(const GroupContainer&, bool was_running)>& started) {
  for (const compose::Service* service : request_.services) {
    auto& list = containers_[service->name];
    bool idle =
        std::ranges::any_of(list, [](const GroupContainer& one) { return one.state != "running"; });
    if (idle)
      TRY(WaitForDependencies(*service));
    for (GroupContainer& container : list) {
      bool was_running = container.state == "running";
      if (!was_running)
        TRY(StartOne(container));
      started(container, was_running);
    }
  }
  return {};
}

Result<> Converger::WaitUntilAllUp() {
  for (const compose::Service* service : request_.services) {
    // A job that others wait for the end of need not go on.
    bool job = std::ranges::any_of(request_.services, [&](const compose::Service* other) {
      return std::ranges::any_of(other->depends_on, [&](const compose::Dependency& one) {
        return one.service == service->name && one.condition == compose::Condition::kCompleted;
      });
    });
    const auto& list = containers_[service->name];
    TRY(job ? WaitFor(call_.client, list, compose::Condition::kCompleted, request_.limits)
            : WaitUntilUp(call_.client, list, request_.limits));
  }
  return {};
}

}  // namespace wherry::cli
