#include "engine/events.h"

#include <gtest/gtest.h>

#include "core/base/json.h"

namespace wherry::engine {
namespace {

TEST(EventJson, HasDockersShape) {
  Event event{"container",
              "die",
              "abc",
              {{"exitCode", "3"}, {"image", "nginx:1"}, {"name", "web"}},
              1'700'000'000'000'000'001};
  auto json = JsonDocument::Parse(EventJson(event), "event");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["status"].str(), "die");
  EXPECT_EQ((*json)["id"].str(), "abc");
  EXPECT_EQ((*json)["from"].str(), "nginx:1");
  EXPECT_EQ((*json)["Type"].str(), "container");
  EXPECT_EQ((*json)["Action"].str(), "die");
  EXPECT_EQ((*json)["Actor"]["ID"].str(), "abc");
  EXPECT_EQ((*json)["Actor"]["Attributes"]["exitCode"].str(), "3");
  EXPECT_EQ((*json)["scope"].str(), "local");
  EXPECT_EQ((*json)["time"].integer(), 1'700'000'000);
}

TEST(EventBus, ListenersMayChangeTheList) {
  EventBus bus;
  std::vector<std::string> calls;
  EventBus::Subscription second = 0;
  EventBus::Subscription first = 0;
  first = bus.Subscribe([&](const Event&) {
    calls.push_back("first");
    bus.Unsubscribe(first);
    bus.Unsubscribe(second);
    bus.Subscribe([&](const Event&) { calls.push_back("third"); });
  });
  second = bus.Subscribe([&](const Event&) { calls.push_back("second"); });
  bus.Publish({"image", "pull", "x", {}});
  EXPECT_EQ(calls, (std::vector<std::string>{"first"}));
  bus.Publish({"image", "pull", "y", {}});
  EXPECT_EQ(calls, (std::vector<std::string>{"first", "third"}));
}

TEST(EventBus, KeepsTheLast256WithTheirTime) {
  EventBus bus;
  for (int i = 0; i < 300; ++i)
    bus.Publish({"image", std::to_string(i), "x", {}});
  ASSERT_EQ(bus.history().size(), 256U);
  EXPECT_EQ(bus.history().front().action, "44");
  EXPECT_GT(bus.history().back().unix_nanos, 0);
}

}  // namespace
}  // namespace wherry::engine
