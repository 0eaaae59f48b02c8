#include "engine/events.h"

#include "core/base/json.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {
constexpr size_t kHistory = 256;
}  // namespace

std::string EventJson(const Event& event) {
  JsonWriter json;
  json.Object();
  if (event.type == "container" || event.type == "image") {
    json.Field("status", event.action).Field("id", event.actor_id);
  }
  auto image = event.attributes.find("image");
  if (event.type == "container" && image != event.attributes.end())
    json.Field("from", image->second);
  json.Field("Type", event.type).Field("Action", event.action);
  json.Key("Actor").Object().Field("ID", event.actor_id).Key("Attributes").Object();
  for (const auto& [name, value] : event.attributes)
    json.Field(name, value);
  json.End().End();
  json.Field("scope", "local");
  json.Field("time", event.unix_nanos / 1'000'000'000).Field("timeNano", event.unix_nanos).End();
  return json.Take();
}

EventBus::Subscription EventBus::Subscribe(Listener listener) {
  Subscription id = next_++;
  listeners_.emplace(id, std::make_shared<Listener>(std::move(listener)));
  return id;
}

void EventBus::Unsubscribe(Subscription id) {
  listeners_.erase(id);
}

void EventBus::Publish(Event event) {
  if (event.unix_nanos == 0)
    event.unix_nanos = UnixNanosNow();
  history_.push_back(event);
  if (history_.size() > kHistory)
    history_.pop_front();
  // A listener may change the map: go from one identifier to the next that still exists, and leave
  // out those added now.
  Subscription end = next_;
  for (Subscription id = 0;;) {
    auto next = listeners_.upper_bound(id);
    if (next == listeners_.end() || next->first >= end)
      break;
    id = next->first;
    std::shared_ptr<Listener> listener = next->second;  // survives its own removal
    (*listener)(event);
  }
}

}  // namespace wherry::engine
