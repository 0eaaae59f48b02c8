// How the apps of a release are: what a trial is decided by, and what is kept of one that failed.
#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/builder/await.h"
#include "engine/log_reader.h"
#include "engine/network/network.h"
#include "engine/update/app_checks.h"
#include "engine/update/release_workload.h"

namespace wherry::engine {

namespace {

using State = ota::Health::State;

constexpr net::Ipv4 kLoopback{0x7F000001};
constexpr std::chrono::milliseconds kCommandPatience{10000};
constexpr int64_t kEvidenceLines = 50;
constexpr size_t kEvidenceBytes = 24 << 10;  // of the logs of all apps: it has to fit a message

// An end that the restart policy does not follow up.
bool StaysEnded(const ReleaseWorkload::Seen& seen) {
  if (seen.state != ContainerState::kExited && seen.state != ContainerState::kDead)
    return false;
  return seen.restart == RestartMode::kNo ||
         (seen.restart == RestartMode::kOnFailure && seen.status.exit_code == 0);
}

// How its newest run that ended did; of one that runs, or waits to, the run before.
const RunStatus& NewestEnd(const ReleaseWorkload::Seen& seen) {
  bool ended = seen.state == ContainerState::kExited || seen.state == ContainerState::kDead;
  return ended ? seen.status : seen.last_end;
}

std::string EndOf(const RunStatus& status) {
  if (status.oom_killed)
    return "ran out of memory";
  if (!status.error.empty())
    return Cat("did not start: ", status.error);
  return Cat("ended with exit code ", status.exit_code);
}

}  // namespace

std::string LogTail(const std::string& directory, int64_t lines, size_t most) {
  LogQuery query;
  query.multiplexed = false;
  query.tail = lines;
  std::string text;
  auto reader = LogReader::Open(directory, query);
  while (reader) {
    auto progress = (*reader)->Read(text);
    if (!progress || *progress != LogReader::Progress::kMore)
      break;
  }
  if (text.size() > most)
    text.erase(0, text.size() - most);
  return text;
}

Result<> ReleaseWorkload::RunCommand(const Seen& seen, const std::vector<std::string>& command) {
  int code = TRY(Await<int>(env_.loop, *env_.ended,
                            [env = env_, container = seen.container, command](Done<int> done) {
                              ExecConfig config;
                              config.args = command;
                              auto exec = env.execs->Create(container, std::move(config));
                              if (!exec)
                                return done(std::unexpected(std::move(exec).error()));
                              // Whichever comes first: its end, a start that failed, or the end of
                              // patience.
                              auto answer = std::make_shared<Done<int>>(std::move(done));
                              auto give = [answer](Result<int> result) {
                                if (*answer)
                                  std::exchange(*answer, nullptr)(std::move(result));
                              };
                              (*exec)->on_end = [give](int exit_code) { give(exit_code); };
                              env.loop->After(kCommandPatience, [exec = *exec, give] {
                                if (exec->state == Exec::State::kRunning)
                                  Execs::Kill(*exec);
                                give(Fail(Errc::kTimeout, "does not end"));
                              });
                              env.execs->Start(*exec, nullptr, [give](Result<> started) {
                                if (!started)
                                  give(std::unexpected(std::move(started).error()));
                              });
                            }));
  if (code != 0)
    return Fail(Errc::kUnavailable, Cat("ends with ", code));
  return {};
}

Result<> ReleaseWorkload::RunCheck(const Seen& seen, const ota::AppCheck& check) {
  if (check.kind == ota::AppCheck::Kind::kCommand) {
    TRY_CTX(Cat("command ", check.command[0]), RunCommand(seen, check.command));
    return {};
  }
  net::Ipv4 address = kLoopback;
  if (seen.network_mode != kHostNetwork) {
    std::optional<Attachment> attachment = env_.networks->Of(seen.id);
    if (!attachment || attachment->endpoints.empty())
      return Fail(Errc::kUnavailable, "is in no network");
    address = attachment->endpoints[0].address;
  }
  return check.kind == ota::AppCheck::Kind::kTcp ? CheckTcp(address, check.port)
                                                 : CheckHttp(address, check.port, check.path);
}

ota::Health ReleaseWorkload::CheckApp(const ota::Release& release, const ota::App& app) {
  auto say = [&](State state, std::string_view what) {
    return ota::Health{state, Cat("app ", app.name, " ", what)};
  };
  Result<Seen> seen = Look(app);
  if (!seen)
    return say(State::kStarting, seen.error().message());
  if (!seen->container)
    return say(State::kFailed, "is gone");
  if (seen->restarts > static_cast<int64_t>(release.trial.restarts))
    return say(State::kFailed,
               Cat("was restarted ", seen->restarts, " times; it ", EndOf(NewestEnd(*seen))));
  if (StaysEnded(*seen)) {
    // What has done its work is well.
    bool done = seen->status.exit_code == 0 && seen->status.error.empty();
    return say(done ? State::kHealthy : State::kFailed, EndOf(seen->status));
  }
  if (seen->state != ContainerState::kRunning)
    return say(State::kStarting, Cat("is ", StateName(seen->state)));
  if (seen->health.status == HealthStatus::kUnhealthy)
    return say(State::kFailed, Cat("is unhealthy: ", seen->health.log.empty()
                                                         ? std::string_view("no output")
                                                         : Trim(seen->health.log.back().output)));
  if (seen->health.status == HealthStatus::kStarting)
    return say(State::kStarting, "has not passed its health check yet");
  for (const ota::AppCheck& check : app.checks) {
    if (Result<> result = RunCheck(*seen, check); !result)
      return say(State::kStarting, Cat("fails its check: ", result.error().message()));
  }
  return {State::kHealthy, ""};
}

ota::Health ReleaseWorkload::Check(const ota::Release& release) {
  ota::Health worst{State::kHealthy, ""};
  for (const ota::App& app : release.apps) {
    ota::Health health = CheckApp(release, app);
    if (health.state == State::kFailed)
      return health;
    if (health.state == State::kStarting)
      worst = std::move(health);
  }
  return worst;
}

std::string ReleaseWorkload::Evidence(const ota::Release& release) {
  JsonWriter json;
  json.Object().Field("release", release.digest.hex()).Field("name", release.name);
  json.Field("sequence", release.sequence).Key("apps").Array();
  for (const ota::App& app : release.apps) {
    Result<Seen> seen = Look(app);
    if (!seen || !seen->container)
      continue;
    json.Object().Field("name", app.name).Field("state", StateName(seen->state));
    const RunStatus& end = NewestEnd(*seen);
    json.Field("exit_code", end.exit_code).Field("oom_killed", end.oom_killed);
    json.Field("restarts", seen->restarts).Field("health", HealthName(seen->health.status));
    if (!seen->health.log.empty())
      json.Field("health_output", seen->health.log.back().output);
    json.Field("log",
               LogTail(seen->directory, kEvidenceLines, kEvidenceBytes / release.apps.size()))
        .End();
  }
  json.End().End();
  return json.Take();
}

}  // namespace wherry::engine
