// What may be asked over the broker. docs/mqtt.md, "Requests".
#include <unistd.h>

#include <algorithm>
#include <set>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/sys/spawn.h"
#include "engine/update/fleet.h"

namespace wherry::engine {

namespace {

constexpr int64_t kTailLines = 100;
constexpr int64_t kMaxTailLines = 1000;
constexpr size_t kTailBytes = 24 << 10;  // an answer has 64 KiB, with its escapes
// The answer is on its way by then, and whoever asked for it has seen it.
constexpr std::chrono::seconds kBeforeReboot{2};

Result<std::string> Empty(Result<> result) {
  TRY(std::move(result));
  return "{}";
}

Result<std::string> Rollback(Updates& updates, JsonValue parameters) {
  Digest expected;
  if (parameters["expected"])
    expected = TRY(Digest::Parse(parameters["expected"].str()));
  return Empty(updates.updater().Rollback(expected));
}

Result<std::string> TailLog(Updates& updates, JsonValue parameters) {
  ReleaseWorkload::Seen seen = TRY(updates.LookAt(parameters["app"].str()));
  int64_t lines = parameters["lines"] ? parameters["lines"].integer() : kTailLines;
  JsonWriter json;
  json.Object().Field("container", seen.id).Field("state", StateName(seen.state));
  json.Field("log",
             LogTail(seen.directory, std::clamp<int64_t>(lines, 1, kMaxTailLines), kTailBytes));
  json.End();
  return json.Take();
}

std::string Evidence(Updates& updates) {
  std::string evidence = updates.updater().Evidence();
  return evidence.empty() ? "null" : evidence;
}

}  // namespace

// Those that change something are signed. `work` is done on the worker, `begin` on the loop.
struct Fleet::Method {
  std::string_view name;
  bool is_signed;
  Result<std::string> (*work)(Updates& updates, JsonValue parameters);
  void (Fleet::*begin)(JsonValue parameters, Answer<std::string> answer) = nullptr;
};

void Fleet::Request(std::string method, std::string parameters, bool is_signed,
                    Answer<std::string> answer) {
  // clang-format off
  static constexpr Method kMethods[] = {
      {"state.get", false, [](Updates& u, JsonValue) -> Result<std::string> { return u.StatusJson(); }},
      {"evidence.get", false, [](Updates& u, JsonValue) -> Result<std::string> { return Evidence(u); }},
      {"history.get", false, [](Updates& u, JsonValue) -> Result<std::string> { return u.HistoryJson(); }},
      {"log.tail", false, TailLog},
      {"log.lease", false, nullptr, &Fleet::LeaseLog},
      {"update.cancel", true, [](Updates& u, JsonValue) {
         return Empty(u.updater().Cancel(ota::Code::kRequested, "cancelled by the fleet")); }},
      {"update.proceed", true, [](Updates& u, JsonValue) { return Empty(u.updater().Proceed()); }},
      {"update.confirm", true, [](Updates& u, JsonValue) { return Empty(u.updater().Confirm()); }},
      {"update.rollback", true, Rollback},
      {"app.start", true, nullptr, &Fleet::StartApp},
      {"app.stop", true, nullptr, &Fleet::StopApp},
      {"app.restart", true, nullptr, &Fleet::RestartApp},
      {"prune", true, nullptr, &Fleet::Prune},
      {"reboot", true, nullptr, &Fleet::Reboot},
  };
  // clang-format on
  const Method* row = std::ranges::find(kMethods, method, &Method::name);
  if (row == std::end(kMethods))
    return answer(Fail(Errc::kUnsupported, Cat("request ", method, " is not supported by wherry")));
  if (row->is_signed && !is_signed)
    return answer(Fail(Errc::kDenied, Cat("request ", method,
                                          " has to be signed by a key this "
                                          "device trusts for rollouts")));
  if (row->begin != nullptr) {
    auto document = JsonDocument::Parse(parameters, "parameters");
    if (!document)
      return answer(std::unexpected(std::move(document).error()));
    return (this->*row->begin)(document->root(), std::move(answer));
  }
  OnWorker<std::string>(
      [updates = env_.updates, work = row->work,
       parameters = std::move(parameters)]() -> Result<std::string> {
        JsonDocument document = TRY(JsonDocument::Parse(parameters, "parameters"));
        return work(*updates, document.root());
      },
      std::move(answer));
}

// Calls `use` with the container of an app of the active release, on the loop.
void Fleet::WithApp(JsonValue parameters, Answer<std::string> answer,
                    std::move_only_function<void(ContainerPtr, Done<>)> use) {
  auto done = [answer = std::move(answer)](Result<> result) mutable {
    bool was_so = !result && result.error().code() == Errc::kNotModified;
    answer(was_so ? "{}" : Empty(std::move(result)));
  };
  OnWorker<ReleaseWorkload::Seen>(
      [updates = env_.updates, app = std::string(parameters["app"].str())] {
        return updates->LookAt(app);
      },
      [use = std::move(use), done = std::move(done)](Result<ReleaseWorkload::Seen> seen) mutable {
        if (!seen)
          return done(std::unexpected(std::move(seen).error()));
        use(seen->container, std::move(done));
      });
}

void Fleet::StartApp(JsonValue parameters, Answer<std::string> answer) {
  WithApp(parameters, std::move(answer), [all = env_.containers](ContainerPtr app, Done<> done) {
    all->Start(std::move(app), std::move(done));
  });
}

void Fleet::StopApp(JsonValue parameters, Answer<std::string> answer) {
  WithApp(parameters, std::move(answer), [all = env_.containers](ContainerPtr app, Done<> done) {
    all->Stop(std::move(app), {}, std::move(done));
  });
}

void Fleet::RestartApp(JsonValue parameters, Answer<std::string> answer) {
  WithApp(parameters, std::move(answer), [all = env_.containers](ContainerPtr app, Done<> done) {
    all->Restart(std::move(app), {}, std::move(done));
  });
}

// Images that no container has, whatever they are called. Containers stay: somebody made them.
void Fleet::Prune(JsonValue, Answer<std::string> answer) {
  OnWorker<std::string>(
      [images = env_.images]() -> Result<std::string> {
        std::set<Digest> all;
        images->ForEach(
            [&](const ImageSummary& image) { all.insert(image.image->manifest_digest); });
        PruneResult pruned = TRY(images->Prune(all));
        JsonWriter json;
        json.Object().Field("freed", pruned.freed_bytes).End();
        return json.Take();
      },
      std::move(answer));
}

void Fleet::Reboot(JsonValue, Answer<std::string> answer) {
  const std::string& command = env_.config->reboot_command;
  if (command.empty())
    return answer(Fail(Errc::kDenied,
                       "request reboot is not permitted on this device: "
                       "[updates] reboot-command is not set"));
  LogInfo("fleet: a reboot was asked for");
  env_.loop->After(kBeforeReboot, [this, command, alive = std::weak_ptr(alive_)] {
    if (alive.expired())
      return;
    worker_.Run([command] {
      sys::SpawnOptions options{.program = command,
                                .argv = {command},
                                .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                                .fds = {}};
      auto started = sys::Spawn(options);
      if (started)
        started->Release();  // it outlives this process, which it ends
      else
        LogError("fleet: no reboot: ", started.error().message());
    });
  });
  answer("{}");
}

}  // namespace wherry::engine
