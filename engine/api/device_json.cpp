#include "engine/api/device_json.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "board/restart.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/system_info.h"
#include "engine/update/telemetry.h"
#include "engine/update/updates.h"
#include "net/tls/time_floor.h"

namespace wherry::engine::api {

namespace {

constexpr int64_t kNanos = 1'000'000'000;

// What the board's description says (Devicetree Specification, "Root node"); absent on others.
void WriteProperty(JsonWriter& json, std::string_view key, std::string_view property) {
  auto text = ReadFile(Cat("/proc/device-tree/", property), 4096);
  if (text)
    json.Field(key, text->substr(0, text->find('\0')));
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

std::string DeviceJson(const Config& config, const Updates& updates,
                       const ContainerCounts& containers) {
  const MqttConfig& mqtt = config.mqtt;
  utsname kernel{};
  uname(&kernel);
  JsonWriter json;
  json.Object().Field("name", mqtt.device.empty() ? HostName() : mqtt.device);
  if (!mqtt.broker.host.empty())
    json.Field("tenant", mqtt.tenant).Field("groups", mqtt.groups);
  WriteProperty(json, "model", "model");
  WriteProperty(json, "serial", "serial-number");
  json.Field("architecture", kernel.machine).Field("kernel", kernel.release);
  json.Field("system", OperatingSystem()).Field("version", WHERRY_VERSION);
  json.Field("boot", board::BootId());
  if (std::optional<board::Slot> slot = updates.BootedSlot())
    json.Field("slot", std::string(1, board::Letter(*slot)));
  json.Key("clock").Object().Field("time", FormatRfc3339Nano(UnixNanosNow()));
  json.Field("kept", tls::ClockIsKept());
  json.Field("floor", FormatRfc3339Nano(tls::TimeFloor() * kNanos)).End();
  json.Key("state").Raw(TelemetryJson(config.root, containers)).End();
  return json.Take();
}

}  // namespace wherry::engine::api
