#include "cli/compose/wait.h"

#include <chrono>
#include <thread>

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

constexpr std::chrono::milliseconds kPause{200};

enum class Wish : uint8_t { kHealthy, kCompleted, kUp };

Result<bool> CheckHealth(const GroupContainer& container, JsonValue state, bool needs_check) {
  std::string_view health = state["Health"]["Status"].str();
  bool running = state["Running"].boolean();
  if (health == "unhealthy")
    return Fail(Errc::kConflict, Cat("container ", container.name, " is unhealthy"));
  if (!running && !state["Restarting"].boolean()) {
    return Fail(Errc::kConflict, Cat("container ", container.name, " has ended with exit code ",
                                     state["ExitCode"].integer()));
  }
  if (health.empty() || health == "none") {
    if (needs_check) {
      return Fail(Errc::kConflict,
                  Cat("container ", container.name, " has no health check to wait for"));
    }
    return running;
  }
  return health == "healthy";
}

Result<bool> CheckCompleted(const GroupContainer& container, JsonValue state) {
  if (state["Status"].str() != "exited")
    return false;
  if (int64_t code = state["ExitCode"].integer(); code != 0) {
    return Fail(Errc::kConflict, Cat("container ", container.name,
                                     " did not complete successfully: exit code ", code));
  }
  return true;
}

Result<bool> Fulfilled(Client& client, const GroupContainer& container, Wish wish) {
  auto inspected = TRY(client.Get(Target(Cat("/containers/", Segment(container.id), "/json"))));
  JsonValue state = inspected["State"];
  if (wish == Wish::kCompleted)
    return CheckCompleted(container, state);
  return CheckHealth(container, state, wish == Wish::kHealthy);
}

Result<> Wait(Client& client, const std::vector<GroupContainer>& containers, Wish wish,
              const WaitLimits& limits) {
  auto begin = Uptime();
  for (const GroupContainer& container : containers) {
    while (!TRY(Fulfilled(client, container, wish))) {
      if (limits.cancelled && limits.cancelled())
        return Fail(Errc::kCancelled, Cat("interrupted while waiting for ", container.name));
      if (limits.seconds > 0 && Uptime() - begin > std::chrono::seconds(limits.seconds)) {
        return Fail(Errc::kTimeout, Cat("container ", container.name, " is not ready after ",
                                        limits.seconds, " seconds"));
      }
      std::this_thread::sleep_for(kPause);
    }
  }
  return {};
}

}  // namespace

Result<> WaitFor(Client& client, const std::vector<GroupContainer>& containers,
                 compose::Condition condition, const WaitLimits& limits) {
  if (condition == compose::Condition::kStarted)
    return {};
  Wish wish = condition == compose::Condition::kHealthy ? Wish::kHealthy : Wish::kCompleted;
  return Wait(client, containers, wish, limits);
}

Result<> WaitUntilUp(Client& client, const std::vector<GroupContainer>& containers,
                     const WaitLimits& limits) {
  return Wait(client, containers, Wish::kUp, limits);
}

}  // namespace wherry::cli
