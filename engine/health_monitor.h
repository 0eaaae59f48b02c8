// Runs the health checks of all containers, each check being a further process of its container
// (engine/execs.h), and keeps Container::health. Learns from the event bus which containers run. No
// timer and no work without a check. Loop thread only.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "core/base/loop.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "engine/execs.h"
#include "engine/health.h"

namespace wherry::engine {

class HealthMonitor {
 public:
  // All outlive this object.
  struct Environment {
    Loop* loop;
    EventBus* events;
    Containers* containers;
    Execs* execs;
  };
  // After Containers::Restore: what runs is watched from now on, its health being unknown.
  explicit HealthMonitor(const Environment& environment);
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

 private:
  struct Check;  // one that runs
  struct Watch {
    ContainerPtr container;
    std::chrono::nanoseconds began{};  // uptime: of the run
    Loop::TimerId timer = 0;           // of the next check, or of the end of this one's time
    std::shared_ptr<Check> check;
  };

  void OnEvent(const Event& event);
  void Begin(const ContainerPtr& container);
  void End(const std::string& id);
  void Schedule(Watch& watch);
  void Run(const std::string& id);
  void Finished(const std::string& id, const std::shared_ptr<Check>& check);
  void TimedOut(const std::string& id);
  void Record(Watch& watch, HealthResult result);
  bool InStartPeriod(const Watch& watch) const;

  Environment env_;
  EventBus::Subscription subscription_;
  std::map<std::string, Watch> watches_;  // by container ID
};

}  // namespace wherry::engine
