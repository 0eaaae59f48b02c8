#include "engine/api/container_json.h"

#include "core/base/text.h"
#include "core/base/time.h"
#include "core/shim/protocol.h"
#include "engine/api/network_json.h"

namespace wherry::engine::api {

namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

void WriteMounts(JsonWriter& json, const std::vector<MountRequest>& mounts) {
  json.Key("Mounts").Array();
  for (const MountRequest& mount : mounts) {
    constexpr std::string_view kTypes[] = {"bind", "tmpfs", "volume"};
    bool bind = mount.type == MountRequest::Type::kBind;
    json.Object().Field("Type", kTypes[static_cast<size_t>(mount.type)]);
    if (mount.type == MountRequest::Type::kVolume)
      json.Field("Name", mount.volume).Field("Driver", "local");
    json.Field("Source", mount.source).Field("Destination", mount.target);
    json.Field("Mode", mount.mode).Field("RW", !mount.read_only);
    json.Field("Propagation", bind ? mount.propagation : "").End();
  }
  json.End();
}

void WriteHealth(JsonWriter& json, const Health& health) {
  json.Key("Health").Object().Field("Status", HealthName(health.status));
  json.Field("FailingStreak", health.failing_streak).Key("Log").Array();
  for (const HealthResult& result : health.log) {
    json.Object().Field("Start", FormatRfc3339Nano(result.start_nanos));
    json.Field("End", FormatRfc3339Nano(result.end_nanos));
    json.Field("ExitCode", result.exit_code).Field("Output", result.output).End();
  }
  json.End().End();
}

// " (healthy)", as docker ps shows it behind the age.
std::string HealthText(HealthStatus status) {
  if (status == HealthStatus::kNone)
    return {};
  return Cat(" (", status == HealthStatus::kStarting ? "health: " : "", HealthName(status), ")");
}

void WriteState(JsonWriter& json, const Container& container) {
  const RunStatus& status = container.status;
  json.Key("State").Object().Field("Status", StateName(container.state));
  // Docker calls a container that waits for its next run running.
  bool restarting = container.state == ContainerState::kRestarting;
  json.Field("Running", restarting || HasProcess(container.state));
  json.Field("Paused", container.state == ContainerState::kPaused);
  json.Field("Restarting", restarting);
  json.Field("OOMKilled", status.oom_killed)
      .Field("Dead", container.state == ContainerState::kDead);
  json.Field("Pid", status.pid).Field("ExitCode", status.exit_code).Field("Error", status.error);
  json.Field("StartedAt", FormatRfc3339NanoOrZero(status.started_nanos));
  json.Field("FinishedAt", FormatRfc3339NanoOrZero(status.finished_nanos));
  if (container.health.status != HealthStatus::kNone)
    WriteHealth(json, container.health);
  json.End();
}

void WritePaths(JsonWriter& json, const Container& container) {
  bool has_log = container.config->host.log_driver == "json-file";
  json.Field("ResolvConfPath", Cat(container.run_directory, "/resolv.conf"));
  json.Field("HostnamePath", Cat(container.run_directory, "/hostname"));
  json.Field("HostsPath", Cat(container.run_directory, "/hosts"));
  json.Field("LogPath", has_log ? Cat(container.directory, "/", shim::kLogName) : "");
}

std::string WithoutEnv(const std::string& config_json) {
  auto document = JsonDocument::Parse(config_json, "configuration");
  JsonWriter json;
  json.Object();
  if (document) {
    for (JsonValue member : document->root()) {
      if (EqualsIgnoreCase(member.key(), "Env"))
        json.Key("Env").Array().End();
      else
        json.Field(member.key(), member);
    }
  }
  json.End();
  return json.Take();
}

}  // namespace

std::string CommandText(const std::vector<std::string>& args) {
  std::string text;
  for (const std::string& arg : args) {
    bool quote = &arg != &args.front() && arg.find(' ') != std::string::npos;
    Append(text, text.empty() ? "" : " ", quote ? "'" : "", arg, quote ? "'" : "");
  }
  return text;
}

std::string StatusText(const Container& container, int64_t now_nanos) {
  const RunStatus& status = container.status;
  auto age = [now_nanos](int64_t since) {
    return HumanDuration(std::chrono::nanoseconds(now_nanos - since));
  };
  switch (container.state) {
    case ContainerState::kCreated:
      return "Created";
    case ContainerState::kRunning:
      return Cat("Up ", age(status.started_nanos), HealthText(container.health.status));
    case ContainerState::kPaused:
      return Cat("Up ", age(status.started_nanos), " (Paused)");
    case ContainerState::kRestarting:
      return Cat("Restarting (", status.exit_code, ") ", age(status.finished_nanos), " ago");
    case ContainerState::kRemoving:
      return "Removal In Progress";
    case ContainerState::kExited:
      return Cat("Exited (", status.exit_code, ") ", age(status.finished_nanos), " ago");
    case ContainerState::kDead:
      return "Dead";
  }
  return {};
}

void WriteContainerSummary(JsonWriter& json, const Container& container, const Networks& networks,
                           int64_t now_nanos, const ContainerSize* size) {
  const ContainerConfig& config = *container.config;
  json.Object()
      .Field("Id", container.id)
      .Key("Names")
      .Array()
      .String(Cat("/", container.name))
      .End();
  json.Field("Image", config.image).Field("ImageID", container.image_id.string());
  json.Field("Command", CommandText(config.args))
      .Field("Created", container.created_nanos / kNanosPerSecond);
  if (size != nullptr)
    json.Field("SizeRw", size->written).Field("SizeRootFs", size->root);
  WritePortList(json, container, networks);
  json.Key("Labels").Object();
  for (const auto& [name, value] : config.labels)
    json.Field(name, value);
  json.End()
      .Field("State", StateName(container.state))
      .Field("Status", StatusText(container, now_nanos));
  json.Key("HostConfig").Object().Field("NetworkMode", config.host.network_mode);
  if (!config.host.annotations.empty()) {
    json.Key("Annotations").Object();
    for (const auto& [name, value] : config.host.annotations)
      json.Field(name, value);
    json.End();
  }
  json.End().Key("NetworkSettings").Object();
  WriteEndpoints(json, container, networks);
  json.End();
  WriteMounts(json, config.host.mounts);
  json.End();
}

std::string ContainerInspectJson(const Container& container, const Networks& networks,
                                 Environment environment) {
  const ContainerConfig& config = *container.config;
  JsonWriter json;
  json.Object()
      .Field("Id", container.id)
      .Field("Created", FormatRfc3339Nano(container.created_nanos));
  json.Field("Path", config.args.front());
  json.Field("Args", std::vector<std::string>(config.args.begin() + 1, config.args.end()));
  WriteState(json, container);
  json.Field("Image", container.image_id.string());
  WritePaths(json, container);
  json.Field("Name", Cat("/", container.name))
      .Field("RestartCount", container.restart_count)
      .Field("Driver", "overlayfs");
  json.Field("Platform", "linux")
      .Field("MountLabel", "")
      .Field("ProcessLabel", "")
      .Field("AppArmorProfile", config.host.apparmor_profile);
  if (container.exec_ids.empty()) {
    json.Key("ExecIDs").Null();
  } else {
    json.Field("ExecIDs", container.exec_ids);
  }
  json.Key("HostConfig").Raw(config.host_config_json);
  json.Key("GraphDriver").Object().Field("Name", "overlayfs").Key("Data").Object();
  json.Field("UpperDir", Cat(container.directory, "/upper"))
      .Field("WorkDir", Cat(container.directory, "/work"));
  json.End().End();
  WriteMounts(json, config.host.mounts);
  bool shown = environment == Environment::kShown;
  json.Key("Config").Raw(shown ? config.config_json : WithoutEnv(config.config_json));
  WriteNetworkSettings(json, container, networks);
  json.End();
  return json.Take();
}

}  // namespace wherry::engine::api
