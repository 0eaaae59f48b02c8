// Further processes in containers: /containers/{name}/exec and /exec (docker-api.md 2.2).
#include <algorithm>

#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/container_streams.h"
#include "engine/container_attach.h"
#include "engine/container_fields.h"
#include "engine/containers.h"
#include "engine/execs.h"

namespace wherry::engine::api {

namespace {

constexpr std::string_view kExecConfig = "ExecConfig";

struct FieldRow {
  std::string_view name;
  FieldType type;
};
constexpr FieldRow kCreateFields[] = {
    {"AttachStdin", FieldType::kBool},  {"AttachStdout", FieldType::kBool},
    {"AttachStderr", FieldType::kBool}, {"Tty", FieldType::kBool},
    {"Privileged", FieldType::kBool},   {"DetachKeys", FieldType::kString},
    {"User", FieldType::kString},       {"WorkingDir", FieldType::kString},
    {"Env", FieldType::kStrings},       {"Cmd", FieldType::kStrings},
    {"ConsoleSize", FieldType::kArray},
};
constexpr FieldRow kStartFields[] = {
    {"Detach", FieldType::kBool},
    {"Tty", FieldType::kBool},
    {"ConsoleSize", FieldType::kArray},
};

Result<> CheckFields(JsonValue body, std::span<const FieldRow> fields) {
  if (!body.IsObject())
    return Fail(Errc::kInvalid, "the request body must be a JSON object");
  for (const FieldRow& field : fields) {
    JsonValue value = body[field.name];
    if (value && !value.IsNull())
      TRY(CheckType(value, field.type, kExecConfig, field.name));
  }
  return {};
}

// [rows, columns]
void ReadConsoleSize(JsonValue value, ExecConfig& config) {
  auto dimension = [value](size_t index) {
    return static_cast<uint16_t>(std::clamp<int64_t>(value.at(index).integer(), 0, UINT16_MAX));
  };
  if (value.size() != 2)
    return;
  config.rows = dimension(0);
  config.columns = dimension(1);
}

Result<ExecConfig> ReadExecConfig(JsonValue body) {
  TRY(CheckFields(body, kCreateFields));
  ExecConfig config;
  config.args = body["Cmd"].strings();
  if (config.args.empty())
    return Fail(Errc::kInvalid, "No exec command specified");
  config.env = body["Env"].strings();
  config.user = body["User"].str();
  config.working_dir = body["WorkingDir"].str();
  if (!config.working_dir.empty() && !config.working_dir.starts_with('/')) {
    return Fail(Errc::kInvalid, Cat("the working directory '", config.working_dir,
                                    "' is invalid, it needs to be an absolute path"));
  }
  config.detach_keys = body["DetachKeys"].str();
  TRY(ReadDetachKeys(config.detach_keys));
  config.tty = body["Tty"].boolean();
  config.privileged = body["Privileged"].boolean();
  config.with_stdin = body["AttachStdin"].boolean();
  config.with_stdout = body["AttachStdout"].boolean();
  config.with_stderr = body["AttachStderr"].boolean();
  ReadConsoleSize(body["ConsoleSize"], config);
  return config;
}

void CreateExec(const Services& services, Call call) {
  auto container = services.containers->Find(call.name);
  if (!container)
    return ReplyError(*call.exchange, container.error());
  auto body = JsonBody(call.request());
  if (!body)
    return ReplyError(*call.exchange, body.error());
  auto config = ReadExecConfig(body->root());
  if (!config)
    return ReplyError(*call.exchange, config.error());
  auto exec = services.execs->Create(*container, std::move(*config));
  if (!exec)
    return ReplyError(*call.exchange, exec.error());
  ReplyJson(*call.exchange, 201, JsonWriter().Object().Field("Id", (*exec)->id).End().Take());
}

struct StartRequest {
  ExecPtr exec;
  bool detach = false;
};

Result<StartRequest> ReadStart(const Services& services, const Call& call) {
  StartRequest start;
  start.exec = TRY(services.execs->Find(call.name));
  auto body = TRY(JsonBody(call.request()));
  TRY(CheckFields(body.root(), kStartFields));
  TRY(Execs::CheckStart(*start.exec));
  start.detach = body["Detach"].boolean();
  ReadConsoleSize(body["ConsoleSize"], start.exec->config);
  return start;
}

// Why a program could not be executed goes to the client as output: the connection is no longer
// HTTP by then, as with Docker.
void StartAttached(const Services& services, const Call& call, const ExecPtr& exec) {
  const ExecConfig& config = exec->config;
  AttachOptions options{.tty = config.tty,
                        .with_stdin = config.with_stdin,
                        .with_stdout = config.with_stdout,
                        .with_stderr = config.with_stderr,
                        .stdin_once = true,
                        .detach_keys = *ReadDetachKeys(config.detach_keys)};
  auto stream = call.exchange->Hijack(HijackHead(call, config.tty));
  auto session = std::make_shared<AttachSession>(std::move(stream), std::move(options));
  session->Begin();
  services.execs->Start(exec, session, [session](Result<> started) {
    if (!started)
      session->CloseWith(Cat(started.error().message(), "\r\n"));
  });
}

void StartExec(const Services& services, Call call) {
  auto start = ReadStart(services, call);
  if (!start)
    return ReplyError(*call.exchange, start.error());
  if (!start->detach)
    return StartAttached(services, call, start->exec);
  services.execs->Start(start->exec, nullptr, [exchange = call.exchange](Result<> started) {
    if (!started)
      return ReplyError(*exchange, started.error());
    ReplyEmpty(*exchange, 200);
  });
}

Result<> ResizeNow(const Services& services, const Call& call) {
  ExecPtr exec = TRY(services.execs->Find(call.name));
  auto rows = ParseUint(call.request().param("h"));
  auto columns = ParseUint(call.request().param("w"));
  if (!rows || !columns || *rows > UINT16_MAX || *columns > UINT16_MAX)
    return Fail(Errc::kInvalid, "resize needs h and w between 0 and 65535");
  return Execs::Resize(*exec, static_cast<uint16_t>(*rows), static_cast<uint16_t>(*columns));
}

void ResizeExec(const Services& services, Call call) {
  auto resized = ResizeNow(services, call);
  if (!resized)
    return ReplyError(*call.exchange, resized.error());
  ReplyEmpty(*call.exchange, 200);
}

void InspectExec(const Services& services, Call call) {
  auto found = services.execs->Find(call.name);
  if (!found)
    return ReplyError(*call.exchange, found.error());
  const Exec& exec = **found;
  const ExecConfig& config = exec.config;
  JsonWriter json;
  json.Object().Field("ID", exec.id).Field("Running", exec.state == Exec::State::kRunning);
  if (exec.state == Exec::State::kEnded) {
    json.Field("ExitCode", exec.exit_code);
  } else {
    json.Key("ExitCode").Null();
  }
  json.Key("ProcessConfig").Object().Field("tty", config.tty);
  json.Field("entrypoint", config.args[0]);
  json.Field("arguments", std::vector<std::string>(config.args.begin() + 1, config.args.end()));
  json.Field("privileged", config.privileged);
  if (!config.user.empty())
    json.Field("user", config.user);
  json.End();
  json.Field("OpenStdin", config.with_stdin).Field("OpenStderr", config.with_stderr);
  json.Field("OpenStdout", config.with_stdout).Field("CanRemove", false);
  json.Field("ContainerID", exec.container->id).Field("DetachKeys", config.detach_keys);
  json.Field("Pid", exec.pid).End();
  ReplyJson(*call.exchange, 200, json.Take());
}

constexpr Route kRoutes[] = {
    {"POST", "/containers/{name}/exec", CreateExec},
    {"POST", "/exec/{name}/start", StartExec},
    {"POST", "/exec/{name}/resize", ResizeExec},
    {"GET", "/exec/{name}/json", InspectExec, false, Access::kAdmin},
};

}  // namespace

std::span<const Route> ExecRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
