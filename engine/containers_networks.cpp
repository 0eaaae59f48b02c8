// Containers and their networks: see containers.h.
#include <fcntl.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/container_record.h"
#include "engine/containers.h"

namespace wherry::engine {

Networks::Plan Containers::NetworkPlan(const Container& container) const {
  return {container.id, container.name, container.run_directory, container.config->endpoints,
          container.config->host.ports};
}

// Of a running container.
Result<UniqueFd> Containers::NetnsOf(const Container& container) const {
  if (!HasProcess(container.state) || !container.init)
    return Fail(Errc::kConflict, Cat("container ", container.name, " is not running"));
  std::string path = Cat("/proc/", container.status.pid, "/ns/net");
  UniqueFd netns = TRY(Open(path, O_RDONLY));
  // Still there: the number has meant this process all the time.
  TRY(container.init.Signal(0));
  return netns;
}

// The container of "container:x".
Result<ContainerPtr> Containers::SharedNetwork(const ContainerConfig& config) const {
  ContainerPtr other = TRY(Find(*SharedWith(config.host.network_mode)));
  if (other->config.get() == &config)
    return Fail(Errc::kInvalid, "a container cannot be in the network of itself");
  if (SharedWith(other->config->host.network_mode))
    return Fail(Errc::kConflict,
                Cat("container ", other->name, " is in another container's network",
                    " itself; name that one"));
  if (!HasProcess(other->state))
    return Fail(Errc::kConflict,
                Cat("cannot join network of a non running container: ", other->name));
  return other;
}

void Containers::PublishNetwork(const Container& container, std::string action,
                                std::string_view network_id) {
  auto network = env_.networks->Find(network_id);
  if (!network)
    return;
  Event event{"network", std::move(action), network->id, {}};
  event.attributes["container"] = container.id;
  event.attributes["name"] = network->name;
  event.attributes["type"] = DriverName(network->driver);
  env_.events->Publish(std::move(event));
}

void Containers::EnterNetworks(const ContainerPtr& container, Networks::Sandbox& sandbox) {
  if (!sandbox.udp)
    return;
  env_.resolver->Serve(
      {container->id, std::move(sandbox.udp), std::move(sandbox.tcp), container->config->host.dns});
  for (const Endpoint& endpoint : sandbox.attachment.endpoints)
    PublishNetwork(*container, "connect", endpoint.network_id);
}

void Containers::LeaveNetworks(const ContainerPtr& container, Loop::Callback then) {
  auto attachment = env_.networks->Of(container->id);
  if (!attachment)
    return then();
  env_.resolver->Stop(container->id);
  OnWorker<void>(
      [networks = env_.networks, id = container->id]() -> Result<> {
        networks->Close(id);
        return {};
      },
      [this, container, attachment, then = std::move(then)](Result<>) mutable {
        env_.resolver->NetworksChanged();
        for (const Endpoint& endpoint : attachment->endpoints)
          PublishNetwork(*container, "disconnect", endpoint.network_id);
        then();
      });
}

// Blocking: the daemon starts.
void Containers::RestoreNetworks(const ContainerPtr& container) {
  if (!HasEndpoints(container->config->host.network_mode))
    return;
  auto netns = NetnsOf(*container);
  if (!netns)
    return;  // it is about to be found ended
  auto sandbox = env_.networks->Reopen(NetworkPlan(*container), std::move(*netns));
  if (!sandbox)
    return LogWarning("the network of container ", container->name,
                      " is not what it was: ", sandbox.error().message());
  env_.resolver->Serve({container->id, std::move(sandbox->udp), std::move(sandbox->tcp),
                        container->config->host.dns});
}

// `work` changes what runs; then the record and the configuration follow.
void Containers::ChangeEndpoints(const ContainerPtr& container, ContainerConfig config,
                                 std::move_only_function<Result<>()> work, Done<> done) {
  ++container->holds;
  config.networking_json = EndpointsJson(config.endpoints);
  ContainerRecord record = RecordOf(*container);
  record.request.networking_json = config.networking_json;
  auto changed = std::make_shared<const ContainerConfig>(std::move(config));
  OnWorker<void>(
      [directory = container->directory, record = std::move(record),
       work = std::move(work)]() mutable -> Result<> {
        TRY(work());
        return SaveRecord(directory, record);
      },
      [this, container, changed, done = std::move(done)](Result<> result) mutable {
        if (result)
          container->config = changed;
        env_.resolver->NetworksChanged();
        done(std::move(result));
        Release(container);
      });
}

void Containers::Connect(ContainerPtr container, EndpointRequest request, Done<> done) {
  WhenIdle(
      container, [this, container, request = std::move(request), done = std::move(done)]() mutable {
        const std::string& mode = container->config->host.network_mode;
        auto network = env_.networks->Find(request.network);
        if (!network)
          return done(std::unexpected(std::move(network).error()));
        if (!HasEndpoints(mode) || !network->HasBridge())
          return done(
              Fail(Errc::kDenied, Cat("container ", container->name, " with network mode \"", mode,
                                      "\" cannot be connected to network ", network->name)));
        ContainerConfig config = *container->config;
        bool there = std::ranges::any_of(config.endpoints, [&](const EndpointRequest& other) {
          return other.network == network->name || other.network == network->id;
        });
        if (there)
          return done(Fail(Errc::kConflict, Cat("endpoint with name ", container->name,
                                                " already exists in network ", network->name)));
        request.network = network->name;
        config.endpoints.push_back(request);
        auto netns = std::make_shared<UniqueFd>();
        if (HasProcess(container->state)) {
          auto opened = NetnsOf(*container);
          if (!opened)
            return done(std::unexpected(std::move(opened).error()));
          *netns = std::move(*opened);
        }
        auto work = [networks = env_.networks, plan = NetworkPlan(*container), request,
                     netns]() -> Result<> {
          if (*netns)
            TRY(networks->Connect(plan, request, std::move(*netns)));
          return {};
        };
        bool runs = HasProcess(container->state);
        ChangeEndpoints(container, std::move(config), std::move(work),
                        [this, container, runs, id = network->id,
                         done = std::move(done)](Result<> result) mutable {
                          if (result && runs)
                            PublishNetwork(*container, "connect", id);
                          done(std::move(result));
                        });
      });
}

void Containers::Disconnect(ContainerPtr container, std::string_view reference, Done<> done) {
  WhenIdle(container, [this, container, reference = std::string(reference),
                       done = std::move(done)]() mutable {
    auto network = env_.networks->Find(reference);
    if (!network)
      return done(std::unexpected(std::move(network).error()));
    ContainerConfig config = *container->config;
    size_t removed = std::erase_if(config.endpoints, [&](const EndpointRequest& other) {
      return other.network == network->name || other.network == network->id;
    });
    if (removed == 0)
      return done(Fail(Errc::kNotFound, Cat("container ", container->name,
                                            " is not connected to network ", network->name)));
    auto netns = std::make_shared<UniqueFd>();
    if (auto opened = NetnsOf(*container))
      *netns = std::move(*opened);
    bool runs = static_cast<bool>(*netns);
    auto work = [networks = env_.networks, plan = NetworkPlan(*container), id = network->id,
                 netns]() -> Result<> {
      return *netns ? networks->Disconnect(plan, id, std::move(*netns)) : Result<>();
    };
    ChangeEndpoints(
        container, std::move(config), std::move(work),
        [this, container, runs, id = network->id, done = std::move(done)](Result<> result) mutable {
          if (result && runs)
            PublishNetwork(*container, "disconnect", id);
          done(std::move(result));
        });
  });
}

}  // namespace wherry::engine
