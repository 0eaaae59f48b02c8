// Changing limits and restart policy of a container that exists: see containers.h.
#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/cgroup_limits.h"
#include "engine/container_fields.h"
#include "engine/container_record.h"
#include "engine/containers.h"

namespace wherry::engine {

namespace {

// Of HostConfig, in alphabetical order.
constexpr std::string_view kUpdatable[] = {
    "BlkioWeight", "CpuPeriod",  "CpuQuota",          "CpuShares", "CpusetCpus", "CpusetMems",
    "Memory",      "MemorySwap", "MemoryReservation", "NanoCpus",  "PidsLimit",  "RestartPolicy",
};

// Clients send every field, empty ones for what stays.
bool IsChange(JsonValue body, std::string_view name) {
  if (name == "RestartPolicy")
    return !body[name]["Name"].str().empty();
  if (name == "PidsLimit")
    return body[name].IsNumber();
  return !IsEmptyValue(body[name]);
}

Result<std::string> MergeHostConfig(const std::string& old_json, JsonValue body) {
  auto old = TRY(JsonDocument::Parse(old_json, "HostConfig"));
  for (const Field& field : HostFields()) {
    JsonValue value = body[field.name];
    TRY(CheckType(value, field.type, "HostConfig", field.name));
    bool updatable = std::ranges::find(kUpdatable, field.name) != std::end(kUpdatable);
    if (!updatable && !IsEmptyValue(value))
      return Fail(Errc::kUnsupported,
                  Cat(field.name, " of a container cannot be changed in this version"));
  }
  JsonWriter json;
  json.Object();
  for (JsonValue member : old.root()) {
    bool updatable = std::ranges::find(kUpdatable, member.key()) != std::end(kUpdatable);
    bool changes = updatable && IsChange(body, member.key());
    json.Field(member.key(), changes ? body[member.key()] : member);
  }
  json.End();
  return json.Take();
}

// What the cgroup of a running container is told.
oci::LinuxResources ChangedResources(JsonValue body, const LimitRequest& limits) {
  oci::LinuxResources resources;
  if (IsChange(body, "Memory") || IsChange(body, "MemorySwap")) {
    resources.memory.limit = limits.memory;
    resources.memory.swap = limits.memory_swap;
  }
  if (IsChange(body, "MemoryReservation"))
    resources.memory.reservation = limits.memory_reservation;
  if (IsChange(body, "CpuShares"))
    resources.cpu.shares = static_cast<uint64_t>(limits.cpu_shares);
  if (IsChange(body, "NanoCpus") || IsChange(body, "CpuQuota") || IsChange(body, "CpuPeriod")) {
    resources.cpu.quota = limits.cpu_quota;
    resources.cpu.period = static_cast<uint64_t>(limits.cpu_period);
  }
  if (IsChange(body, "CpusetCpus"))
    resources.cpu.cpus = limits.cpuset_cpus;
  if (IsChange(body, "CpusetMems"))
    resources.cpu.mems = limits.cpuset_mems;
  if (IsChange(body, "PidsLimit"))
    resources.pids_limit = limits.pids > 0 ? limits.pids : -1;
  if (IsChange(body, "BlkioWeight"))
    resources.block_io.weight = static_cast<uint16_t>(limits.blkio_weight);
  return resources;
}

// What a worker is told, without touching the container the loop owns.
struct UpdateInput {
  std::string root;
  std::string directory;
  std::string cgroup;  // empty: it does not run
  ContainerRecord record;
  std::string body;
};

Result<> Save(const UpdateInput& input) {
  TRY_CTX("cannot store the container", SaveRecord(input.directory, input.record));
  return {};
}

// What is in force is what is stored.
Result<> ChangeAndSave(const UpdateInput& input, const oci::LinuxResources& resources) {
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  auto group = TRY(runtime::Cgroup::Open(host, input.cgroup));
  std::vector<runtime::CgroupWrite> former = TRY(group.ChangeLimits(resources));
  Result<> saved = Save(input);
  if (!saved)
    return std::unexpected(group.PutBack(former, std::move(saved).error()));
  return {};
}

using ConfigPtr = std::shared_ptr<const ContainerConfig>;

Result<ConfigPtr> Apply(UpdateInput input) {
  auto body = TRY(JsonDocument::Parse(input.body, "request body"));
  if (!body.root().IsObject())
    return Fail(Errc::kInvalid, "the request body must be a JSON object");
  NormalisedRequest& request = input.record.request;
  request.host_config_json = TRY(MergeHostConfig(request.host_config_json, body.root()));
  ContainerConfig config = TRY(ParseContainerConfig(request));
  LocateVolumes(input.root, config);
  if (input.cgroup.empty()) {
    TRY(Save(input));
  } else {
    TRY(ChangeAndSave(input, ChangedResources(body.root(), config.host.limits)));
  }
  return std::make_shared<const ContainerConfig>(std::move(config));
}

}  // namespace

void Containers::Update(ContainerPtr container, std::string body, Done<> done) {
  WhenIdle(container, [this, container, body = std::move(body), done = std::move(done)]() mutable {
    if (container->state == ContainerState::kRemoving ||
        container->state == ContainerState::kDead) {
      return done(Fail(Errc::kConflict, Cat("cannot update container ", container->id,
                                            ": it is marked for removal")));
    }
    ++container->holds;
    UpdateInput input{env_.config->root, container->directory,
                      HasProcess(container->state) ? CgroupPath(container->id) : std::string(),
                      RecordOf(*container), std::move(body)};
    OnWorker<ConfigPtr>(
        [input = std::move(input)]() mutable { return Apply(std::move(input)); },
        [this, container, done = std::move(done)](Result<ConfigPtr> updated) mutable {
          if (updated) {
            container->config = std::move(*updated);
            Publish(*container, "update");
          }
          Release(container);
          done(updated ? Result<>() : std::unexpected(std::move(updated).error()));
        });
  });
}

}  // namespace wherry::engine
