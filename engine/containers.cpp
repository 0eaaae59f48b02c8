#include "engine/containers.h"

#include <unistd.h>

#include <algorithm>
#include <climits>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/container_attach.h"
#include "engine/shim_client.h"

namespace wherry::engine {

namespace {

// wherry-shim beside this program, which may have been replaced on disk since it was started.
std::string ShimBesideProgram() {
  constexpr std::string_view kDeleted = " (deleted)";
  char buffer[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer);
  std::string_view program(buffer, length > 0 ? static_cast<size_t>(length) : 0);
  if (program.ends_with(kDeleted))
    program.remove_suffix(kDeleted.size());
  auto split = SplitLast(program, '/');
  return Cat(split ? split->head : "", "/wherry-shim");
}

}  // namespace

Containers::Containers(const Environment& environment)
    : env_(environment),
      launcher_(environment.loop, Cat(environment.config->cgroup_parent, "/shims")),
      shim_path_(environment.config->shim.empty() ? ShimBesideProgram()
                                                  : environment.config->shim) {}

Containers::~Containers() = default;

Result<ContainerPtr> Containers::Find(std::string_view reference) const {
  if (auto exact = by_id_.find(reference); exact != by_id_.end())
    return exact->second;
  std::string_view bare = reference.starts_with('/') ? reference.substr(1) : reference;
  if (auto named = by_name_.find(bare); named != by_name_.end())
    return named->second;
  auto first = by_id_.lower_bound(reference);
  if (reference.empty() || first == by_id_.end() || !first->first.starts_with(reference)) {
    return Fail(Errc::kNotFound, Cat("No such container: ", reference));
  }
  auto next = std::next(first);
  if (next != by_id_.end() && next->first.starts_with(reference)) {
    return Fail(Errc::kInvalid, Cat("Multiple IDs found with provided prefix: ", reference));
  }
  return first->second;
}

std::vector<ContainerPtr> Containers::All() const {
  std::vector<ContainerPtr> all;
  all.reserve(by_id_.size());
  for (const auto& [id, container] : by_id_)
    all.push_back(container);
  std::stable_sort(all.begin(), all.end(), [](const ContainerPtr& a, const ContainerPtr& b) {
    return a->created_nanos > b->created_nanos;
  });
  return all;
}

ContainerCounts Containers::Counts() const {
  ContainerCounts counts;
  for (const auto& [id, container] : by_id_) {
    if (container->state == ContainerState::kRunning) {
      ++counts.running;
    } else if (container->state == ContainerState::kPaused) {
      ++counts.paused;
    } else {
      ++counts.stopped;
    }
  }
  return counts;
}

std::vector<ImageUser> Containers::ImageUsers() const {
  std::vector<ImageUser> users;
  for (const auto& [id, container] : by_id_) {
    users.push_back({container->manifest, id, HasProcess(container->state)});
  }
  return users;
}

std::vector<std::string> Containers::UsersOfVolume(std::string_view name) const {
  std::vector<std::string> users;
  for (const auto& [id, container] : by_id_) {
    for (const MountRequest& mount : container->config->host.mounts) {
      if (mount.type == MountRequest::Type::kVolume && mount.volume == name) {
        users.push_back(id);
        break;
      }
    }
  }
  return users;
}

std::vector<std::string> Containers::UsersOfNetwork(const Network& network) const {
  std::vector<std::string> users;
  for (const auto& [id, container] : by_id_) {
    bool in =
        std::ranges::any_of(container->config->endpoints, [&](const EndpointRequest& endpoint) {
          return endpoint.network == network.name || endpoint.network == network.id;
        });
    if (in || container->config->host.network_mode == network.name)
      users.push_back(id);
  }
  return users;
}

void Containers::Publish(const Container& container, std::string action, EventAttributes extra) {
  Event event{"container", std::move(action), container.id, container.config->labels};
  event.attributes["image"] = container.config->image;
  event.attributes["name"] = container.name;
  for (auto& [name, value] : extra)
    event.attributes[name] = std::move(value);
  env_.events->Publish(std::move(event));
}

void Containers::WhenIdle(const ContainerPtr& container, Loop::Callback operation) {
  if (container->holds > 0) {
    container->deferred.push_back(std::move(operation));
  } else {
    operation();
  }
}

void Containers::Lock(const ContainerPtr& container, Loop::Callback operation) {
  WhenIdle(container, [container, operation = std::move(operation)]() mutable {
    ++container->holds;
    operation();
  });
}

void Containers::Release(const ContainerPtr& container) {
  --container->holds;
  while (container->holds == 0 && !container->deferred.empty()) {
    Loop::Callback next = std::move(container->deferred.front());
    container->deferred.erase(container->deferred.begin());
    next();
  }
}

uint64_t Containers::Wait(const ContainerPtr& container, WaitCondition condition,
                          std::move_only_function<void(const WaitResult&)> callback) {
  bool running = HasProcess(container->state) || container->starting;
  if (condition == WaitCondition::kNotRunning && !running) {
    callback({container->status.exit_code, {}});
    return 0;
  }
  uint64_t id = next_waiter_++;
  container->waiters.push_back({id, condition, std::move(callback)});
  return id;
}

void Containers::CancelWait(const ContainerPtr& container, uint64_t id) {
  std::erase_if(container->waiters, [id](const Waiter& waiter) { return waiter.id == id; });
}

void Containers::NotifyWaiters(Container& container, std::span<const WaitCondition> conditions) {
  std::vector<Waiter> ready;
  std::vector<Waiter> rest;
  for (Waiter& waiter : container.waiters) {
    bool fits =
        std::find(conditions.begin(), conditions.end(), waiter.condition) != conditions.end();
    (fits ? ready : rest).push_back(std::move(waiter));
  }
  container.waiters = std::move(rest);
  WaitResult result{container.status.exit_code, {}};
  for (Waiter& waiter : ready)
    waiter.callback(result);
}

// A status that cannot be written (tmpfs full) only matters to the next daemon: the operation goes
// on.
void Containers::SaveStatus(const Container& container) {
  auto saved = WriteRunStatus(container.run_directory, container.status);
  if (!saved) {
    LogWarning("cannot record the status of container ", container.name,
               ", ignoring: ", saved.error().message());
  }
}

std::string Containers::Directory(std::string_view id) const {
  return Cat(env_.config->root, "/containers/", id);
}

std::string Containers::RunDirectory(std::string_view id) const {
  return Cat(env_.config->run, "/c/", id);
}

std::string Containers::CgroupPath(std::string_view id) const {
  return Cat(env_.config->cgroup_parent, "/c/", id);
}

}  // namespace wherry::engine
