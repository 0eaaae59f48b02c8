// Apps of strategy handover: the new container starts beside the old one; when all of them are
// well, the ports of all move in one step, and the old ones end when their connections have.
#include <algorithm>
#include <set>
#include <thread>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/update/app_checks.h"
#include "engine/update/handover.h"

namespace wherry::engine {

namespace {

constexpr std::chrono::seconds kBackPatience{60};
constexpr std::chrono::milliseconds kWellPeriod{250};
constexpr std::chrono::milliseconds kDrainPeriod{100};
constexpr int kLooksPerCheck = 10;
constexpr int kQuietLooks = 3;  // in a row: what came just before the switch is there by then
constexpr size_t kMaxTable = 16 << 20;

// A line of /proc/net/tcp: "  sl  local_address rem_address   st ..."
struct SocketLine {
  uint64_t port;
  uint64_t state;
};
constexpr uint64_t kListen = 10;
// Those that have nothing to say to the other side any more: FIN_WAIT2, TIME_WAIT, CLOSE.
constexpr bool IsOver(uint64_t state) {
  return state >= 5 && state <= 7;
}

std::vector<SocketLine> SocketsOf(int64_t pid) {
  std::vector<SocketLine> sockets;
  for (std::string_view name : {"tcp", "tcp6"}) {
    auto table = ReadFile(Cat("/proc/", pid, "/net/", name), kMaxTable);
    if (!table)
      continue;
    for (std::string_view line : Split(*table, '\n')) {
      unsigned port = 0;
      unsigned state = 0;
      if (sscanf(std::string(line).c_str(), " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port,
                 &state) == 2)
        sockets.push_back({port, state});
    }
  }
  return sockets;
}

// Whether somebody is connected to what a process's network namespace serves.
bool HasGuests(int64_t pid) {
  std::vector<SocketLine> sockets = SocketsOf(pid);
  return std::ranges::any_of(sockets, [&](const SocketLine& socket) {
    return socket.state != kListen && !IsOver(socket.state) &&
           std::ranges::any_of(sockets, [&](const SocketLine& other) {
             return other.state == kListen && other.port == socket.port;
           });
  });
}

}  // namespace

bool ReleaseWorkload::IsAside(const Seen& seen) const {
  auto attachment = env_.networks->Of(seen.id);
  return attachment && attachment->aside;
}

Result<> ReleaseWorkload::CheckHandover(const ota::App& app) {
  if (app.strategy != ota::Strategy::kHandover)
    return {};
  Seen seen = TRY(Look(app));
  if (!HasEndpoints(seen.network_mode))
    return Fail(Errc::kUnsupported,
                Cat("strategy handover needs a bridge network of its own, and network mode \"",
                    seen.network_mode, "\" is none: use stop-start"));
  if (seen.has_fixed_address)
    return Fail(Errc::kUnsupported,
                "strategy handover: two containers cannot have the fixed "
                "address at once; leave it out, or use stop-start");
  return {};
}

Result<ReleaseWorkload::Handover> ReleaseWorkload::PlanHandover(const ota::Release* from,
                                                                const ota::Release& to) {
  Handover handover{.to = &to, .back = from != nullptr && from->sequence > to.sequence};
  std::set<std::string, std::less<>> late;
  for (const ota::App& app : to.apps) {
    Seen mine = TRY(Look(app));
    std::optional<Seen> old;
    const ota::App* before = from != nullptr ? from->FindApp(app.name) : nullptr;
    if (before != nullptr && AppContainerName(*before) != AppContainerName(app)) {
      Seen seen = TRY(Look(*before));
      if (seen.container && env_.networks->Of(seen.id))
        old = std::move(seen);
    }
    bool takes_over = IsAside(mine) || (app.strategy == ota::Strategy::kHandover && old);
    bool depends = std::ranges::any_of(
        app.after, [&](const std::string& other) { return late.contains(other); });
    if (depends || (!takes_over && mine.state != ContainerState::kRunning))
      late.insert(app.name);
    if (takes_over)
      handover.rows.push_back({&app, std::move(old), late.contains(app.name)});
  }
  return handover;
}

Result<> ReleaseWorkload::AwaitWell(const Handover& handover, const ota::App& app,
                                    const CancelFlag& cancel) {
  std::chrono::seconds patience = handover.back ? kBackPatience : handover.to->trial.deadline;
  auto deadline = Uptime() + patience;
  for (;;) {
    ota::Health health = CheckApp(*handover.to, app);
    if (health.state == ota::Health::State::kHealthy) {
      Result<> answers = CheckPorts(app);
      if (answers)
        return {};
      health.reason = Cat("app ", app.name, " does not serve yet: ", answers.error().message());
    }
    if (health.state == ota::Health::State::kFailed)
      return Fail(Errc::kUnavailable, health.reason);
    if (Uptime() > deadline)
      return Fail(Errc::kTimeout, Cat("not well beside the old one within ", patience.count(),
                                      " s: ", health.reason));
    TRY(Pause(cancel, kWellPeriod));
  }
}

// Without checks of its own an app is well as soon as it runs, and it is not yet listening then.
Result<> ReleaseWorkload::CheckPorts(const ota::App& app) {
  Seen seen = TRY(Look(app));
  auto attachment = env_.networks->Of(seen.id);
  if (!app.checks.empty() || seen.health.status != HealthStatus::kNone || !attachment ||
      attachment->endpoints.empty())
    return {};
  for (const PortRequest& port : seen.ports) {
    if (port.protocol == IPPROTO_TCP)
      TRY(CheckTcp(attachment->endpoints[0].address, port.container_port));
  }
  return {};
}

Result<> ReleaseWorkload::StartBeside(const ota::App& app) {
  TRY_CTX(Cat("app ", app.name), CreateApp(app));
  Seen seen = TRY(Look(app));
  if (seen.state == ContainerState::kRunning)
    return {};
  env_.networks->StartAside(seen.id, true);
  TRY_CTX(Cat("app ", app.name), Run(app));
  return {};
}

// It runs beside the old one, and is well.
Result<> ReleaseWorkload::Prepare(Handover& handover, const ota::App& app,
                                  const CancelFlag& cancel) {
  Handover::Row& row = *handover.Find(app.name);
  Result<> well = StartBeside(app);
  if (well)
    well = AwaitWell(handover, app, cancel);
  if (well || !handover.back || well.error().code() == Errc::kCancelled)
    return well;
  // There is no better one to wait for.
  LogWarning("update: app ", app.name, " takes its place back at once: ", well.error().message());
  if (row.old)
    TRY(Stop(*row.old));
  row.old.reset();
  return StartApp(*handover.to, app, cancel);
}

Result<> ReleaseWorkload::HandOver(Handover& handover) {
  std::vector<Networks::Successor> successors;
  for (const ota::App& app : handover.to->apps) {
    const Handover::Row* row = handover.Find(app.name);
    Seen seen = TRY(Look(app));
    if (row != nullptr || IsAside(seen))
      successors.push_back({seen.id, row && row->old ? row->old->id : "", seen.ports});
  }
  if (successors.empty())
    return {};
  TRY_CTX("handover", env_.networks->HandOver(successors));
  return {};
}

Result<> ReleaseWorkload::CheckWell(const Handover& handover) {
  for (const Handover::Row& row : handover.rows) {
    ota::Health health = CheckApp(*handover.to, *row.app);
    if (health.state == ota::Health::State::kFailed)
      return Fail(Errc::kUnavailable, health.reason);
  }
  return {};
}

// Until nobody is connected to the old ones any more, or their time is over. Datagrams have no
// connection that could be seen to end.
Result<> ReleaseWorkload::Drain(const Handover& handover, const CancelFlag& cancel) {
  auto begun = Uptime();
  int quiet = 0;
  for (int look = 1; quiet < kQuietLooks; ++look) {
    if (look % kLooksPerCheck == 0 && !handover.back)
      TRY(CheckWell(handover));
    bool busy = false;
    for (const Handover::Row& row : handover.rows) {
      if (!row.old || Uptime() - begun >= row.app->drain)
        continue;
      bool datagrams = std::ranges::any_of(
          row.old->ports, [](const PortRequest& port) { return port.protocol == IPPROTO_UDP; });
      busy |= datagrams || HasGuests(row.old->status.pid);
    }
    quiet = busy ? 0 : quiet + 1;
    TRY(Pause(cancel, kDrainPeriod));
  }
  return {};
}

Result<> ReleaseWorkload::FinishHandover(Handover& handover, const CancelFlag& cancel) {
  TRY(HandOver(handover));
  bool drains = std::ranges::any_of(handover.rows,
                                    [](const Handover::Row& row) { return row.old.has_value(); });
  if (!drains)
    return {};
  TRY(Drain(handover, cancel));
  for (auto row = handover.rows.rbegin(); row != handover.rows.rend(); ++row) {
    if (!row->old)
      continue;
    TRY_CTX(Cat("app ", row->app->name), Stop(*row->old));
    env_.networks->StartAside(row->old->id, false);
  }
  return {};
}

Result<> ReleaseWorkload::Pause(const CancelFlag& cancel, std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);
  if (env_.ended->load())
    return Fail(Errc::kCancelled, "the daemon is ending");
  if (*cancel)
    return Fail(Errc::kCancelled, "something else was asked for");
  return {};
}

}  // namespace wherry::engine
