#include "engine/daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/base/worker_pool.h"
#include "core/sys/cgroup.h"
#include "core/sys/kernel.h"
#include "engine/api/metrics.h"
#include "engine/api/router.h"
#include "engine/builder/builds.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "engine/execs.h"
#include "engine/health_monitor.h"
#include "engine/images.h"
#include "engine/scrub.h"
#include "engine/time_keeper.h"
#include "engine/update/fleet.h"
#include "engine/update/updates.h"
#include "engine/watchdog_keeper.h"
#include "net/http/server.h"
#include "net/tls/listener.h"
#include "store/space.h"
#include "store/store.h"

namespace wherry::engine {

namespace {

constexpr size_t kWorkers = 3;
constexpr size_t kTransfers = 3;
// One more than may run: the one too many is refused, not queued behind what waits for it.
constexpr size_t kArchives = Images::kMaxArchives + 1;
constexpr uint32_t kSocketMode = 0660;

Result<> CreateDirectory(const std::string& path, uint32_t mode, std::string_view option) {
  auto made = MakeDirs(path, mode);
  if (!made) {
    return Fail(made.error().code(),
                Cat("cannot use ", path, " as ", option, " directory: ", made.error().message(),
                    "; choose another one with --", option));
  }
  return {};
}

// A directory of ours: created when absent, and never writable by others.
Result<> OwnDirectory(const std::string& path, uint32_t mode, std::string_view option) {
  TRY(CreateDirectory(path, mode, option));
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return FailSys("stat", path);
  if ((info.st_mode & S_IWOTH) != 0) {
    return Fail(Errc::kDenied,
                Cat("directory ", path, " is writable by everyone; run `chmod o-w ", path, "`"));
  }
  return {};
}

// Null: none is configured, or none is there, which is no reason not to run.
std::unique_ptr<WatchdogKeeper> KeepWatchdog(const Config& config, Loop& loop, Updates& updates) {
  if (config.watchdog.empty())
    return nullptr;
  auto watchdog = board::Watchdog::Open(config.watchdog, config.watchdog_timeout);
  if (!watchdog) {
    LogError("watchdog: ", watchdog.error().message());
    return nullptr;
  }
  if (watchdog->did_reset())
    LogWarning("watchdog: it was what reset the board before this boot");
  return std::make_unique<WatchdogKeeper>(&loop, *std::move(watchdog),
                                          [&updates] { return !updates.updater().Overdue(); });
}

// sd_notify(3): tells systemd that the daemon is ready. Without NOTIFY_SOCKET nothing happens.
void NotifyReady() {
  const char* path = secure_getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@'))
    return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length >= sizeof address.sun_path)
    return;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  UniqueFd socket_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd)
    return;
  constexpr std::string_view kReady = "READY=1";
  socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  if (sendto(socket_fd.get(), kReady.data(), kReady.size(), MSG_NOSIGNAL,
             static_cast<const sockaddr*>(static_cast<const void*>(&address)), size) < 0) {
    LogWarning("cannot tell the service manager that the daemon is ready, ignoring");
  }
}

// Clients whose TLS handshake failed, without letting them fill the log.
std::function<void(const Error&)> LogRefusals() {
  static constexpr std::chrono::seconds kBetween{5};
  return [last = std::chrono::nanoseconds::min() / 2](const Error& error) mutable {
    std::chrono::nanoseconds now = Uptime();
    if (now - last < kBetween)
      return;
    last = now;
    LogWarning("HTTPS: ", error.message());
  };
}

Result<> ServeHttps(const HttpsConfig& config, http::Server& server) {
  if (config.listen.empty())
    return {};
  auto tls = TRY(MakeTlsConfig(config));
  UniqueFd listener = TRY(tls::ListenTcp(config.listen));
  return server.Listen(std::move(listener), std::move(tls));
}

// One daemon per run directory; the lock goes with the process.
Result<UniqueFd> LockRunDirectory(const std::string& run) {
  UniqueFd lock = TRY(Open(Cat(run, "/LOCK"), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0)
    return lock;
  if (errno != EWOULDBLOCK)
    return FailSys("flock", run);
  return Fail(Errc::kBusy,
              Cat("run directory ", run,
                  " is already in use by another daemon; choose another one with --run"));
}

// The empty cgroups of an instance that has no running containers. The last shims may need a moment
// to be gone.
void RemoveCgroups(const Config& config) {
  constexpr std::chrono::milliseconds kPatience{1000};
  auto host = sys::FindCgroupHost();
  if (!host)
    return;
  auto removed = sys::RemoveCgroup(Cat(host->mount, config.cgroup_parent), kPatience);
  if (!removed)
    LogWarning("cgroups are left behind, ignoring: ", removed.error().message());
}

// A cut of the power may have cost the end of files that were written last: what is not known to be
// whole is looked at by the first start since boot, which the run directory in memory knows.
void CheckAfterBoot(const Config& config, store::Store& store, Images& images,
                    WorkerPool& workers) {
  std::string marker = Cat(config.run, "/store-checked");
  bool known = store.IsUntouched() || PathExists(marker);
  if (known)
    store.SetChecked();
  if (known && !store.HasQuarantine())
    return;
  workers.Run([&store, &images, marker] {
    auto checked = images.CheckSizes();
    if (checked)
      store.SetChecked();
    if (checked)
      checked = ReplaceFile(marker, "", 0600, Durability::kVolatile);
    if (!checked && checked.error().code() != Errc::kCancelled)
      LogWarning("check of the store: ", checked.error().message());
  });
}

Result<std::unique_ptr<store::Store>> OpenStore(const Config& config) {
  TRY(CreateDirectory(config.root, 0711, "root"));
  // Some file systems make up the modes, which is not what is wrong then.
  UniqueFd root = TRY(OpenDir(config.root));
  TRY(store::CheckBacking(root.get(), config.root));
  TRY(OwnDirectory(config.root, 0711, "root"));
  std::vector<std::string> notices;
  auto opened = store::Store::Open(Cat(config.root, "/store"), config.store, &notices);
  for (const std::string& notice : notices)
    LogWarning(notice);
  return opened;
}

// Of the containers together; there as soon as one has been started.
std::string PressureFile(const Config& config) {
  auto host = sys::FindCgroupHost();
  return host && config.gentle ? Cat(host->mount, config.cgroup_parent, "/io.pressure")
                               : std::string();
}

}  // namespace

Result<> RunDaemon(Config config) {
  SetLogLevel(config.log_level);
  umask(0022);
  signal(SIGPIPE, SIG_IGN);
  TRY(sys::CheckKernel());
  auto image_store = TRY(OpenStore(config));
  TRY(OwnDirectory(config.run, 0711, "run"));
  UniqueFd run_lock = TRY(LockRunDirectory(config.run));
  // Before the loop: what waits in its queue when it is destroyed may still hold images and
  // volumes.
  Images images(image_store.get(), config.registry, config.signatures, PressureFile(config));
  Volumes volumes(Cat(config.root, "/volumes"));
  TRY(volumes.Restore());
  Networks networks({config.root, config.run, config.bridge, config.bridge_subnet});
  TRY(networks.Restore());
  auto loop = TRY(Loop::Create());
  TRY(loop->HandleSignals({SIGTERM, SIGINT}, [&loop](int) { loop->Stop(); }));
  auto listener = TRY(http::ListenUnix(config.socket, kSocketMode, config.socket_group));
  ScopeExit remove_socket([&config] { unlink(config.socket.c_str()); });

  TimeKeeper time_keeper(loop.get(), Cat(config.root, "/clock"));
  EventBus events;
  WorkerPool workers(kWorkers);
  WorkerPool transfers(kTransfers);
  WorkerPool archives(kArchives);
  Resolver resolver(loop.get(), &networks);
  Containers containers(
      {&config, loop.get(), &workers, &events, &images, &volumes, &networks, &resolver});
  TRY(containers.Restore());
  if (auto reconciled = networks.Reconcile(); !reconciled)
    LogWarning("networks: ", reconciled.error().message());
  Execs execs({loop.get(), &workers, &containers});
  HealthMonitor health({loop.get(), &events, &containers, &execs});
  Builds builds({&config, loop.get(), &events, &images, &containers});
  builds.Restore();

  auto updates =
      TRY(Updates::Open({&config, loop.get(), &containers, &execs, &images, &volumes, &networks}));
  std::unique_ptr<Fleet> fleet;
  if (!config.mqtt.broker.host.empty()) {
    auto opened = Fleet::Open({&config, loop.get(), &events, &images, &containers, updates.get()});
    if (opened) {
      fleet = *std::move(opened);
      updates->Listen(
          [fleet = fleet.get()](const ota::Report& report) { fleet->OnReport(report); });
    } else {
      LogError("the fleet does not see this device: ", opened.error().message());
      updates->TellFleet(Cat("this device is not seen: ", opened.error().message()));
    }
  }

  CheckAfterBoot(config, *image_store, images, workers);

  Scrub scrub(*image_store, {.interval = config.scrub_interval,
                             .bytes_per_second = config.scrub_rate,
                             .stamp = Cat(config.root, "/store-scrubbed")});

  api::Metrics metrics(&events);
  api::Services services{&config,   loop.get(), &workers,      &transfers, &archives,
                         &events,   &images,    &containers,   &execs,     &volumes,
                         &networks, &builds,    updates.get(), &metrics};
  api::Router router(services);
  http::ServerOptions options;
  options.common_headers = api::CommonHeaders();
  options.on_refused = LogRefusals();
  auto server = http::Server::Create(
      loop.get(), std::move(options), &api::Router::StreamsBody,
      [&router](http::ExchangePtr exchange) { router.Handle(std::move(exchange)); });
  TRY(server->Listen(std::move(listener)));
  TRY_CTX("HTTPS", ServeHttps(config.https, *server));
  LogInfo("wherry ", WHERRY_VERSION, " serves ", config.socket,
          config.https.listen.empty() ? "" : " and ", config.https.listen);
  NotifyReady();
  std::unique_ptr<WatchdogKeeper> watchdog = KeepWatchdog(config, *loop, *updates);
  updates->Start();
  if (fleet)
    fleet->Start();
  auto ended = loop->Run();
  images.CancelTransfers();
  updates->Stop();
  server->Stop();
  ContainerCounts counts = containers.Counts();
  if (counts.running + counts.paused == 0) {
    RemoveCgroups(config);
    networks.TearDown();
  }
  return ended;
}

}  // namespace wherry::engine
