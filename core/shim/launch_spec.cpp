#include "core/shim/launch_spec.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::shim {

namespace {

constexpr std::string_view kWhat = "launch specification";
constexpr std::string_view kDriverNames[] = {"json-file", "none"};
constexpr std::string_view kSeccompNames[] = {"default", "spec", "unconfined"};

template <class E, size_t N>
Result<E> ParseName(const std::string_view (&names)[N], std::string_view text,
                    std::string_view member) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == text)
      return static_cast<E>(i);
  }
  return Fail(Errc::kInvalid, Cat(kWhat, ": ", member, " is unknown: '", text, "'"));
}

Result<std::string> AbsolutePath(std::string_view text, std::string_view member) {
  if (!text.starts_with('/'))
    return Fail(Errc::kInvalid, Cat(kWhat, ": ", member, " is not an absolute path"));
  return std::string(text);
}

// "" is allowed: not given.
Result<std::string> PathOrEmpty(std::string_view text, std::string_view member) {
  if (text.empty())
    return std::string();
  return AbsolutePath(text, member);
}

Result<LaunchSpec::Overlay> ParseOverlay(JsonValue value) {
  LaunchSpec::Overlay overlay;
  for (const std::string& lower : value["lower"].strings()) {
    overlay.lower.push_back(TRY(AbsolutePath(lower, "overlay.lower")));
  }
  overlay.image = TRY(PathOrEmpty(value["image"].str(), "overlay.image"));
  for (const std::string& objects : value["objects"].strings())
    overlay.objects.push_back(TRY(AbsolutePath(objects, "overlay.objects")));
  overlay.data_only = value["data_only"].boolean();
  if (overlay.lower.empty() == overlay.image.empty() ||
      overlay.image.empty() != overlay.objects.empty()) {
    return Fail(Errc::kInvalid,
                Cat(kWhat, ": overlay.lower or overlay.image with overlay.objects is needed"));
  }
  overlay.upper = TRY(PathOrEmpty(value["upper"].str(), "overlay.upper"));
  overlay.work = TRY(PathOrEmpty(value["work"].str(), "overlay.work"));
  overlay.is_volatile = value["volatile"].boolean();
  return overlay;
}

Result<LaunchSpec::Join> ParseJoin(JsonValue value) {
  int64_t pid = value["pid"].integer();
  int64_t start_time = value["start_time"].integer();
  if (pid <= 0 || pid > INT32_MAX || start_time <= 0)
    return Fail(Errc::kInvalid, Cat(kWhat, ": join.pid and join.start_time are needed"));
  return LaunchSpec::Join{static_cast<int>(pid), static_cast<uint64_t>(start_time)};
}

uint16_t Dimension(JsonValue value) {
  return static_cast<uint16_t>(std::clamp<int64_t>(value.integer(), 0, UINT16_MAX));
}

void WriteOverlay(JsonWriter& json, const LaunchSpec::Overlay& overlay) {
  json.Key("overlay").Object().Field("lower", overlay.lower).Field("upper", overlay.upper);
  if (!overlay.image.empty()) {
    json.Field("image", overlay.image).Field("objects", overlay.objects);
    json.Field("data_only", overlay.data_only);
  }
  json.Field("work", overlay.work).Field("volatile", overlay.is_volatile).End();
}

}  // namespace

std::string LaunchSpec::ToJson() const {
  JsonWriter json;
  json.Object().Field("id", id).Field("bundle", bundle).Field("log_dir", log_dir);
  json.Key("log").Object().Field("driver", kDriverNames[static_cast<size_t>(log.driver)]);
  json.Field("max_size", log.max_size).Field("max_files", log.max_files).End();
  json.Field("tty", tty).Field("stdin", with_stdin).Field("stdin_once", stdin_once);
  json.Key("console").Object().Field("rows", rows).Field("columns", columns).End();
  if (overlay)
    WriteOverlay(json, *overlay);
  json.Field("remove_when_ready", remove_when_ready);
  if (join) {
    json.Key("join").Object().Field("pid", join->pid);
    json.Field("start_time", join->start_time).End();
  }
  json.Field("cgroup", cgroup).Field("shim", shim);
  json.Field("seccomp", kSeccompNames[static_cast<size_t>(seccomp)]).End();
  return json.Take();
}

Result<LaunchSpec> LaunchSpec::Parse(std::string_view text) {
  auto json = TRY(JsonDocument::Parse(text, kWhat));
  LaunchSpec spec;
  spec.id = json["id"].str();
  if (spec.id.empty())
    return Fail(Errc::kInvalid, Cat(kWhat, ": id is missing"));
  spec.bundle = TRY(AbsolutePath(json["bundle"].str(), "bundle"));
  spec.log_dir = TRY(PathOrEmpty(json["log_dir"].str(), "log_dir"));
  JsonValue log = json["log"];
  spec.log.driver =
      TRY(ParseName<LogDriver>(kDriverNames, log["driver"].str(kDriverNames[0]), "log.driver"));
  spec.log.max_size = static_cast<uint64_t>(std::max<int64_t>(log["max_size"].integer(), 0));
  spec.log.max_files =
      static_cast<uint32_t>(std::clamp<int64_t>(log["max_files"].integer(1), 1, 1000));
  if (spec.log.driver == LogDriver::kJsonFile && spec.log_dir.empty()) {
    return Fail(Errc::kInvalid, Cat(kWhat, ": log_dir is missing"));
  }
  spec.tty = json["tty"].boolean();
  spec.with_stdin = json["stdin"].boolean();
  spec.stdin_once = json["stdin_once"].boolean();
  spec.rows = Dimension(json["console"]["rows"]);
  spec.columns = Dimension(json["console"]["columns"]);
  if (json["overlay"].IsObject())
    spec.overlay = TRY(ParseOverlay(json["overlay"]));
  for (const std::string& path : json["remove_when_ready"].strings())
    spec.remove_when_ready.push_back(TRY(AbsolutePath(path, "remove_when_ready")));
  if (json["join"].IsObject())
    spec.join = TRY(ParseJoin(json["join"]));
  spec.cgroup = TRY(PathOrEmpty(json["cgroup"].str(), "cgroup"));
  spec.shim = TRY(AbsolutePath(json["shim"].str(), "shim"));
  spec.seccomp =
      TRY(ParseName<SeccompMode>(kSeccompNames, json["seccomp"].str(kSeccompNames[0]), "seccomp"));
  return spec;
}

std::string LaunchResult::ToLine() const {
  if (pid > 0)
    return Cat("ok ", pid, "\n");
  std::string line = Cat("error ", exit_code, " ", message);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line + "\n";
}

Result<LaunchResult> LaunchResult::Parse(std::string_view line) {
  if (line.empty())
    return Fail(Errc::kUnavailable, "the launcher ended without an answer");
  auto bad = [line] {
    return Fail(Errc::kCorrupt,
                Cat("the launcher's answer is malformed: ", Trim(line).substr(0, 200)));
  };
  if (!line.ends_with('\n'))
    return bad();
  line.remove_suffix(1);
  LaunchResult result;
  if (line.starts_with("ok ")) {
    auto pid = ParseUint(line.substr(3));
    if (!pid || *pid == 0 || *pid > INT32_MAX)
      return bad();
    result.pid = static_cast<int>(*pid);
    return result;
  }
  if (!line.starts_with("error "))
    return bad();
  auto split = SplitFirst(line.substr(6), ' ');
  auto code = ParseUint(split ? split->head : std::string_view());
  if (!code || *code < 125 || *code > 127)
    return bad();
  result.exit_code = static_cast<int>(*code);
  result.message = split->tail;
  return result;
}

}  // namespace wherry::shim
