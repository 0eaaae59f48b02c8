// From the body of POST /containers/create to the three objects that are kept: see
// container_config.h.
#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "core/oci/image_spec.h"
#include "engine/container_config.h"
#include "engine/container_fields.h"
#include "engine/container_parse.h"
#include "engine/network/network.h"

namespace wherry::engine {

namespace {

// Fields of Config that are echoed only when given; in Docker's order they stand at several places,
// hence two tables.
struct OptionalField {
  std::string_view name;
  FieldType type;
};

Result<> CheckConfigTypes(JsonValue body) {
  constexpr OptionalField kConfigFields[] = {
      {"Hostname", FieldType::kString},     {"Domainname", FieldType::kString},
      {"User", FieldType::kString},         {"AttachStdin", FieldType::kBool},
      {"AttachStdout", FieldType::kBool},   {"AttachStderr", FieldType::kBool},
      {"ExposedPorts", FieldType::kObject}, {"Tty", FieldType::kBool},
      {"OpenStdin", FieldType::kBool},      {"StdinOnce", FieldType::kBool},
      {"Env", FieldType::kStrings},         {"Healthcheck", FieldType::kObject},
      {"Image", FieldType::kString},        {"Volumes", FieldType::kObject},
      {"WorkingDir", FieldType::kString},   {"NetworkDisabled", FieldType::kBool},
      {"MacAddress", FieldType::kString},   {"OnBuild", FieldType::kStrings},
      {"Labels", FieldType::kStringMap},    {"StopSignal", FieldType::kString},
      {"StopTimeout", FieldType::kInt},     {"Shell", FieldType::kStrings},
      {"HostConfig", FieldType::kObject},   {"NetworkingConfig", FieldType::kObject},
  };
  for (const OptionalField& field : kConfigFields) {
    TRY(CheckType(body[field.name], field.type, "Config", field.name));
  }
  return {};
}

// Cmd and Entrypoint: null, a string, or an array of strings.
Result<std::optional<std::vector<std::string>>> ParseCommand(JsonValue value,
                                                             std::string_view name) {
  std::optional<std::vector<std::string>> command;
  if (!value || value.IsNull())
    return command;
  if (value.IsString())
    return std::optional(std::vector<std::string>{std::string(value.str())});
  TRY(CheckType(value, FieldType::kStrings, "Config", name));
  return std::optional(value.strings());
}

struct Command {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
};

// Docker's rule: an own entrypoint makes the image's command void; [""] clears the entrypoint.
Result<Command> MergeCommand(JsonValue body, const oci::ImageConfig& image) {
  auto entrypoint = TRY(ParseCommand(body["Entrypoint"], "Entrypoint"));
  auto cmd = TRY(ParseCommand(body["Cmd"], "Cmd"));
  Command merged;
  merged.cmd = cmd.value_or(std::vector<std::string>());
  if (entrypoint)
    merged.entrypoint = *entrypoint;
  if (merged.entrypoint.empty()) {
    if (merged.cmd.empty())
      merged.cmd = image.cmd;
    if (!entrypoint)
      merged.entrypoint = image.entrypoint;
  }
  if (merged.entrypoint.size() == 1 && merged.entrypoint[0].empty())
    merged.entrypoint.clear();
  if (merged.entrypoint.empty() && merged.cmd.empty()) {
    return Fail(Errc::kInvalid, "no command specified");
  }
  return merged;
}

std::string_view VariableName(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

// The request's variables, then those of the image it does not name.
std::vector<std::string> MergeEnv(JsonValue given, const std::vector<std::string>& image) {
  std::vector<std::string> env = given.strings();
  size_t own = env.size();
  for (const std::string& entry : image) {
    bool named = std::any_of(
        env.begin(), env.begin() + static_cast<std::ptrdiff_t>(own),
        [&](const std::string& mine) { return VariableName(mine) == VariableName(entry); });
    if (!named)
      env.push_back(entry);
  }
  return env;
}

std::map<std::string, std::string> MergeLabels(JsonValue given,
                                               const std::map<std::string, std::string>& image) {
  std::map<std::string, std::string> labels = image;
  for (JsonValue label : given)
    labels[std::string(label.key())] = label.str();
  return labels;
}

// Keys of {"80/tcp":{}} style objects, joined with the image's.
std::set<std::string> MergeKeys(JsonValue given, const std::vector<std::string>& image) {
  std::set<std::string> keys(image.begin(), image.end());
  for (JsonValue member : given)
    keys.emplace(member.key());
  return keys;
}

void WriteKeys(JsonWriter& json, std::string_view name, const std::set<std::string>& keys) {
  json.Key(name).Object();
  for (const std::string& key : keys)
    json.Key(key).Object().End();
  json.End();
}

std::string_view Preferred(JsonValue given, std::string_view otherwise) {
  return given.str().empty() ? otherwise : given.str();
}

void WriteOptional(JsonWriter& json, JsonValue body, std::string_view name) {
  if (!IsEmptyValue(body[name]))
    json.Field(name, body[name]);
}

Result<std::string> NormaliseConfig(JsonValue body, const oci::ImageConfig& image,
                                    const RequestDefaults& defaults) {
  TRY(CheckConfigTypes(body));
  Command command = TRY(MergeCommand(body, image));
  auto ports = MergeKeys(body["ExposedPorts"], image.exposed_ports);

  JsonWriter json;
  json.Object();
  std::string_view network = Preferred(body["HostConfig"]["NetworkMode"], "default");
  if (network == "default")
    network = defaults.network;
  // That of the host or of another container is known when this one starts.
  bool own_name = body["HostConfig"]["UTSMode"].str() != "host" && network != kHostNetwork &&
                  !SharedWith(network);
  json.Field("Hostname", Preferred(body["Hostname"], own_name ? defaults.hostname : ""));
  json.Field("Domainname", body["Domainname"].str());
  json.Field("User", Preferred(body["User"], image.user));
  for (std::string_view name : {"AttachStdin", "AttachStdout", "AttachStderr"})
    json.Field(name, body[name].boolean());
  if (!ports.empty())
    WriteKeys(json, "ExposedPorts", ports);
  for (std::string_view name : {"Tty", "OpenStdin", "StdinOnce"})
    json.Field(name, body[name].boolean());
  json.Field("Env", MergeEnv(body["Env"], image.env)).Field("Cmd", command.cmd);
  if (std::string health = MergeHealthcheck(body["Healthcheck"], image.healthcheck);
      !health.empty())
    json.Key("Healthcheck").Raw(health);
  json.Field("Image", body["Image"].str());
  WriteKeys(json, "Volumes", MergeKeys(body["Volumes"], image.volumes));
  json.Field("WorkingDir", Preferred(body["WorkingDir"], image.working_dir))
      .Field("Entrypoint", command.entrypoint);
  WriteOptional(json, body, "NetworkDisabled");
  WriteOptional(json, body, "MacAddress");
  if (body["OnBuild"].IsArray())
    json.Field("OnBuild", body["OnBuild"]);
  else
    json.Key("OnBuild").Null();
  json.Key("Labels").Object();
  for (const auto& [name, value] : MergeLabels(body["Labels"], image.labels))
    json.Field(name, value);
  json.End();
  std::string_view stop_signal = Preferred(body["StopSignal"], image.stop_signal);
  if (!stop_signal.empty())
    json.Field("StopSignal", stop_signal);
  if (body["StopTimeout"].IsNumber())
    json.Field("StopTimeout", body["StopTimeout"]);
  WriteOptional(json, body, "Shell");
  json.End();
  return json.Take();
}

// What depends on other fields than the one it is.
void WriteHostField(JsonWriter& json, JsonValue host, const Field& field,
                    const RequestDefaults& defaults) {
  JsonValue value = host[field.name];
  bool swap_follows =
      field.name == "MemorySwap" && value.integer() == 0 && host["Memory"].integer() > 0;
  bool no_masks = (field.name == "MaskedPaths" || field.name == "ReadonlyPaths") &&
                  host["Privileged"].boolean();
  bool own_list = field.name == "MaskedPaths" ||
                  field.name == "ReadonlyPaths";  // [] means none, not "not given"
  if (field.name == "NetworkMode") {
    bool own = !value.str().empty() && value.str() != "default";
    json.Field(field.name, own ? value.str() : defaults.network);
  } else if (field.name == "StorageOpt" && IsEmptyValue(value) && defaults.storage_size > 0) {
    json.Key(field.name).Object().Field("size", Cat(defaults.storage_size)).End();
  } else if (swap_follows) {
    json.Field(field.name, 2 * host["Memory"].integer());
  } else if (no_masks) {
    json.Key(field.name).Array().End();
  } else if (own_list && value.IsArray()) {
    json.Field(field.name, value);
  } else if (!IsEmptyValue(value)) {
    json.Field(field.name, value);
  } else if (!field.fallback.empty()) {
    json.Key(field.name).Raw(field.fallback);
  }
}

// {"Type":"","Config":null} is what clients send for the default.
void WriteLogConfig(JsonWriter& json, JsonValue log) {
  std::string_view type = log["Type"].str();
  json.Key("LogConfig").Object().Field("Type", type.empty() ? "json-file" : type);
  json.Key("Config");
  if (log["Config"].IsObject())
    json.Value(log["Config"]);
  else
    json.Object().End();
  json.End();
}

void WriteRestartPolicy(JsonWriter& json, JsonValue policy) {
  std::string_view name = policy["Name"].str();
  json.Key("RestartPolicy").Object().Field("Name", name.empty() ? "no" : name);
  json.Field("MaximumRetryCount", policy["MaximumRetryCount"].integer()).End();
}

Result<std::string> NormaliseHostConfig(JsonValue host, const RequestDefaults& defaults) {
  JsonWriter json;
  json.Object();
  for (const Field& field : HostFields()) {
    JsonValue value = host[field.name];
    TRY(CheckType(value, field.type, "HostConfig", field.name));
    if (field.use == FieldUse::kRefused && !IsEmptyValue(value)) {
      return Fail(Errc::kUnsupported,
                  Cat("HostConfig.", field.name, field.option.empty() ? "" : " (", field.option,
                      field.option.empty() ? "" : ")", " is not supported in this version"));
    }
    // Docker's command line says -1 for none.
    if (field.name == "MemorySwappiness" && value.integer() == -1)
      continue;
    if (field.name == "LogConfig")
      WriteLogConfig(json, value);
    else if (field.name == "RestartPolicy")
      WriteRestartPolicy(json, value);
    else
      WriteHostField(json, host, field, defaults);
  }
  json.End();
  return json.Take();
}

// Volumes without a name get one here, for good.
Result<std::string> NameVolumes(const std::string& config_json, const std::string& host_json) {
  auto config = TRY(JsonDocument::Parse(config_json, "Config"));
  auto host = TRY(JsonDocument::Parse(host_json, "HostConfig"));
  JsonWriter json;
  json.Object();
  for (const std::string& target : TRY(AnonymousTargets(host.root(), config["Volumes"])))
    json.Field(target, RandomId());
  json.End();
  return json.Take();
}

}  // namespace

Result<NormalisedRequest> NormaliseRequest(JsonValue body, const oci::ImageConfig& image,
                                           const RequestDefaults& defaults) {
  if (!body.IsObject())
    return Fail(Errc::kInvalid, "config cannot be empty in order to create a container");
  NormalisedRequest request;
  request.config_json = TRY(NormaliseConfig(body, image, defaults));
  request.host_config_json = TRY(NormaliseHostConfig(body["HostConfig"], defaults));
  request.volumes_json = TRY(NameVolumes(request.config_json, request.host_config_json));
  auto host = TRY(JsonDocument::Parse(request.host_config_json, "HostConfig"));
  request.networking_json =
      EndpointsJson(TRY(RequestedEndpoints(body["NetworkingConfig"], host["NetworkMode"].str())));
  return request;
}

}  // namespace wherry::engine
