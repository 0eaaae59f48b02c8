#include "engine/update/telemetry.h"

#include <sys/statvfs.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kPressures[] = {"cpu", "memory", "io"};
constexpr std::string_view kThermal = "/sys/class/thermal";

// "MemTotal:        1000 kB", in bytes.
void WriteMemory(JsonWriter& json) {
  auto text = ReadFile("/proc/meminfo");
  if (!text)
    return;
  json.Key("mem").Object();
  for (std::string_view line : Split(*text, '\n')) {
    auto split = SplitFirst(line, ':');
    if (!split || (split->head != "MemTotal" && split->head != "MemAvailable"))
      continue;
    std::string_view number = Trim(split->tail);
    auto kilobytes = ParseUint(number.substr(0, number.find(' ')));
    json.Field(split->head == "MemTotal" ? "total" : "available", kilobytes.value_or(0) << 10);
  }
  json.End();
}

// "some avg10=1.53 avg60=..." as a share of the last ten seconds in percent.
void WritePressure(JsonWriter& json) {
  json.Key("pressure").Object();
  for (std::string_view name : kPressures) {
    constexpr std::string_view kBegin = "some avg10=";
    auto text = ReadFile(Cat("/proc/pressure/", name));
    if (text && text->starts_with(kBegin)) {
      std::string_view number = std::string_view(*text).substr(kBegin.size());
      json.Key(name).Raw(number.substr(0, number.find(' ')));
    }
  }
  json.End();
}

// The hottest of the board's sensors, in degrees.
void WriteTemperature(JsonWriter& json) {
  std::optional<int64_t> hottest;
  for (const std::string& zone :
       ListDir(std::string(kThermal)).value_or(std::vector<std::string>())) {
    auto text = ReadFile(Cat(kThermal, "/", zone, "/temp"));
    auto thousandths = text ? ParseInt(Trim(*text)) : Result<int64_t>(0);
    if (text && thousandths)
      hottest = std::max(hottest.value_or(*thousandths), *thousandths);
  }
  if (hottest)
    json.Field("celsius", *hottest / 1000);
}

}  // namespace

std::string TelemetryJson(const std::string& directory, const ContainerCounts& counts) {
  JsonWriter json;
  json.Object().Field("up",
                      std::chrono::duration_cast<std::chrono::milliseconds>(Uptime()).count());
  WriteMemory(json);
  WritePressure(json);
  struct statvfs disk{};
  if (statvfs(directory.c_str(), &disk) == 0) {
    json.Key("disk").Object().Field("size", uint64_t{disk.f_blocks} * disk.f_frsize);
    json.Field("free", uint64_t{disk.f_bavail} * disk.f_frsize).End();
  }
  json.Key("containers").Object().Field("running", counts.running);
  json.Field("paused", counts.paused).Field("stopped", counts.stopped).End();
  WriteTemperature(json);
  json.End();
  return json.Take();
}

}  // namespace wherry::engine
