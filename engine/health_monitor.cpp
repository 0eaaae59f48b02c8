#include "engine/health_monitor.h"

#include <csignal>
#include <optional>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/container_attach.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxOutput = 4096;
constexpr size_t kMaxLog = 5;
constexpr int kNoAnswer = -1;

// Takes a process's output in the place of a client.
class OutputStream final : public http::Stream {
 public:
  void Write(std::string_view bytes) override {
    text_.append(bytes.substr(0, kMaxOutput - std::min(kMaxOutput, text_.size())));
  }
  size_t pending() const override { return 0; }
  void OnDrain(std::move_only_function<void()>) override {}
  void OnData(std::move_only_function<void(std::string_view)>) override {}
  void PauseReading(bool) override {}
  void OnReadEnd(std::move_only_function<void()>) override {}
  void OnClose(std::move_only_function<void()> callback) override {
    keeps_session_ = std::move(callback);
  }
  void Close() override {
    auto session = std::move(keeps_session_);
    if (auto ended = std::move(ended_))
      ended();
  }

  void OnEnd(std::move_only_function<void()> callback) { ended_ = std::move(callback); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::move_only_function<void()> keeps_session_;
  std::move_only_function<void()> ended_;
};

}  // namespace

struct HealthMonitor::Check {
  ExecPtr exec;
  int64_t start_nanos = UnixNanosNow();
  std::shared_ptr<OutputStream> output = std::make_shared<OutputStream>();
  std::shared_ptr<AttachSession> session;
  bool output_ended = false;
  std::optional<int> exit_code;
};

HealthMonitor::HealthMonitor(const Environment& environment) : env_(environment) {
  subscription_ = env_.events->Subscribe([this](const Event& event) { OnEvent(event); });
  for (const ContainerPtr& container : env_.containers->All()) {
    if (container->state == ContainerState::kRunning)
      Begin(container);
  }
}

HealthMonitor::~HealthMonitor() {
  env_.events->Unsubscribe(subscription_);
  for (auto& [id, watch] : watches_)
    env_.loop->Cancel(watch.timer);
}

void HealthMonitor::OnEvent(const Event& event) {
  if (event.type != "container")
    return;
  if (event.action == "die" || event.action == "pause" || event.action == "destroy")
    return End(event.actor_id);
  if (event.action != "start" && event.action != "unpause")
    return;
  if (auto container = env_.containers->Find(event.actor_id))
    Begin(*container);
}

void HealthMonitor::Begin(const ContainerPtr& container) {
  End(container->id);
  if (!container->config->health)
    return;
  bool goes_on = container->health.status != HealthStatus::kNone &&
                 container->health_run == container->status.started_nanos;
  if (!goes_on)  // not after a pause
    container->health = {HealthStatus::kStarting, 0, {}};
  container->health_run = container->status.started_nanos;
  Watch& watch = watches_[container->id];
  watch.container = container;
  watch.began = Uptime();
  Schedule(watch);
}

void HealthMonitor::End(const std::string& id) {
  auto found = watches_.find(id);
  if (found == watches_.end())
    return;
  env_.loop->Cancel(found->second.timer);
  auto check = std::move(found->second.check);
  watches_.erase(found);
  if (check)
    Execs::Kill(*check->exec);
}

bool HealthMonitor::InStartPeriod(const Watch& watch) const {
  return watch.container->health.status == HealthStatus::kStarting &&
         Uptime() - watch.began < watch.container->config->health->start_period;
}

void HealthMonitor::Schedule(Watch& watch) {
  const HealthCheck& config = *watch.container->config->health;
  auto delay = InStartPeriod(watch) ? config.start_interval : config.interval;
  watch.timer = env_.loop->After(delay, [this, id = watch.container->id] { Run(id); });
}

void HealthMonitor::Run(const std::string& id) {
  auto found = watches_.find(id);
  if (found == watches_.end())
    return;
  Watch& watch = found->second;
  ExecConfig config;
  config.args = watch.container->config->health->args;
  config.with_stdout = true;
  config.with_stderr = true;
  auto exec = env_.execs->Create(watch.container, std::move(config));
  if (!exec)
    return Schedule(watch);
  auto check = std::make_shared<Check>();
  watch.check = check;
  check->exec = std::move(*exec);
  std::weak_ptr<Check> weak = check;
  auto ended = [this, id, weak] {
    auto held = weak.lock();
    if (held && held->output_ended && held->exit_code)
      Finished(id, held);
  };
  // Without frames: both streams are one text.
  AttachOptions options;
  options.tty = true;
  options.with_stdout = true;
  options.with_stderr = true;
  check->session = std::make_shared<AttachSession>(check->output, std::move(options));
  check->session->Begin();
  check->output->OnEnd([weak, ended] {
    if (auto held = weak.lock())
      held->output_ended = true;
    ended();
  });
  check->exec->on_end = [weak, ended](int exit_code) {
    if (auto held = weak.lock())
      held->exit_code = exit_code;
    ended();
  };
  watch.timer =
      env_.loop->After(watch.container->config->health->timeout, [this, id] { TimedOut(id); });
  env_.execs->Start(check->exec, check->session, [session = check->session](Result<> started) {
    if (!started)
      session->CloseWith(started.error().message());
  });
}

void HealthMonitor::Finished(const std::string& id, const std::shared_ptr<Check>& check) {
  auto found = watches_.find(id);
  if (found == watches_.end() || found->second.check != check)
    return;
  Record(found->second,
         {check->start_nanos, UnixNanosNow(), *check->exit_code, check->output->text()});
}

void HealthMonitor::TimedOut(const std::string& id) {
  auto found = watches_.find(id);
  if (found == watches_.end() || !found->second.check)
    return;
  auto check = found->second.check;
  Execs::Kill(*check->exec);
  auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(
      found->second.container->config->health->timeout);
  Record(found->second,
         {check->start_nanos, UnixNanosNow(), kNoAnswer,
          Cat("Health check exceeded timeout (", timeout.count(), "ms): ", check->output->text())});
}

void HealthMonitor::Record(Watch& watch, HealthResult result) {
  env_.loop->Cancel(watch.timer);
  watch.check.reset();
  ContainerPtr container = watch.container;  // a listener may end the watch
  Health& health = container->health;
  HealthStatus before = health.status;
  if (result.exit_code == 0) {
    health.failing_streak = 0;
    health.status = HealthStatus::kHealthy;
  } else if (!InStartPeriod(watch) &&
             ++health.failing_streak >= container->config->health->retries) {
    health.status = HealthStatus::kUnhealthy;
  }
  health.log.push_back(std::move(result));
  if (health.log.size() > kMaxLog)
    health.log.pop_front();
  Schedule(watch);
  if (health.status != before)
    env_.containers->Publish(*container, Cat("health_status: ", HealthName(health.status)));
}

}  // namespace wherry::engine
