// Making what the files describe, and no more than has changed.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/compose/containers.h"
#include "cli/compose/images.h"
#include "cli/compose/wait.h"
#include "engine/compose/body.h"

namespace wherry::cli {

struct UpRequest {
  std::vector<const compose::Service*> services;  // in the order to start them
  std::map<std::string, int64_t> scale;           // what the command line says
  BuildWhen build = BuildWhen::kByPolicy;
  bool force_recreate = false;
  bool never_recreate = false;
  WaitLimits limits;
};

// Brings the containers of a group to what its services say.
class Converger {
 public:
  Converger(const ComposeCall& call, UpRequest request)
      : call_(call), request_(std::move(request)) {}

  // Images, networks, volumes, containers; nothing is started.
  Result<> Create();
  // Ends waiting when it gives true.
  void SetCancelled(std::function<bool()> cancelled) {
    request_.limits.cancelled = std::move(cancelled);
  }
  // In order, each after what it depends on; `started` is told of each container that runs then.
  Result<> Start(const std::function<void(const GroupContainer&, bool was_running)>& started);
  const std::map<std::string, std::vector<GroupContainer>>& containers() const {
    return containers_;
  }
  Result<> WaitUntilAllUp();
  // Until the conditions of `service` on others of the request are fulfilled.
  Result<> WaitForDependencies(const compose::Service& service);

 private:
  Result<> Converge(const compose::Service& service, const ServiceImage& image);
  Result<> Recreate(const compose::Service& service, const ServiceImage& image,
                    GroupContainer& old);
  Result<> StartOne(GroupContainer& container);
  Result<> End(const GroupContainer& old);
  Result<GroupContainer> CreateOne(const compose::Service& service, compose::Instance instance,
                                   const std::string& name);
  Result<compose::Instance> InstanceOf(const compose::Service& service, const ServiceImage& image,
                                       int64_t number);
  bool Changed(const compose::Service& service, const ServiceImage& image,
               const GroupContainer& container) const;

  const ComposeCall& call_;
  UpRequest request_;
  std::map<std::string, std::vector<GroupContainer>> containers_;  // by service
  std::map<std::string, bool> recreated_;
};

// The ID of the container whose network `service` uses; "" when it has one of its own.
Result<std::string> NetworkContainer(const ComposeCall& call, const compose::Service& service);

Result<int> ComposeUp(const ComposeCall& call);
std::span<const Option> ComposeUpOptions();
Result<int> ComposeCreate(const ComposeCall& call);
std::span<const Option> ComposeCreateOptions();

}  // namespace wherry::cli
