// The event bus: what happened to containers and images, in Docker's words. One bus feeds /events,
// /wait, auto-removal and the CLI. Loop thread only. Keeps the last 256 events in memory (never on
// flash) for `since`.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace wherry::engine {

struct Event {
  std::string type;    // "container", "image"
  std::string action;  // "start", "die", "kill", "pull", ...
  std::string actor_id;
  std::map<std::string, std::string> attributes;  // labels, image, name, exitCode, signal...
  int64_t unix_nanos = 0;                         // set by Publish when 0
};

// Docker's JSON object for an event (docker-api.md 4.4), without line end.
std::string EventJson(const Event& event);

class EventBus {
 public:
  using Listener = std::move_only_function<void(const Event&)>;
  using Subscription = uint64_t;

  Subscription Subscribe(
      Listener listener);  // a listener may subscribe and unsubscribe while it is called
  void Unsubscribe(Subscription id);
  void Publish(Event event);
  const std::deque<Event>& history() const { return history_; }

 private:
  std::map<Subscription, std::shared_ptr<Listener>>
      listeners_;  // shared: a listener may remove itself while it runs
  std::deque<Event> history_;
  Subscription next_ = 1;
};

}  // namespace wherry::engine
