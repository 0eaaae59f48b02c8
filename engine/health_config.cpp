#include "engine/health_config.h"

#include "core/base/text.h"
#include "engine/container_fields.h"

namespace wherry::engine {

namespace {

using std::chrono::nanoseconds;

constexpr std::string_view kMembers[] = {"Test",        "Interval",      "Timeout",
                                         "StartPeriod", "StartInterval", "Retries"};
constexpr int64_t kLeast = 1'000'000;

struct Duration {
  std::string_view name;
  std::string_view words;
  nanoseconds HealthCheck::* member;
  nanoseconds fallback;
};
constexpr Duration kDurations[] = {
    {"Interval", "Interval", &HealthCheck::interval, std::chrono::seconds(30)},
    {"Timeout", "Timeout", &HealthCheck::timeout, std::chrono::seconds(30)},
    {"StartPeriod", "StartPeriod", &HealthCheck::start_period, nanoseconds(0)},
    {"StartInterval", "StartInterval", &HealthCheck::start_interval, std::chrono::seconds(5)},
};

constexpr int64_t kDefaultRetries = 3;

// The words after the first one, which says how they are meant.
Result<std::vector<std::string>> ParseTest(JsonValue config, std::vector<std::string> test) {
  std::string kind = test.front();
  test.erase(test.begin());
  if (kind == "CMD" && !test.empty())
    return test;
  if (kind == "CMD-SHELL" && test.size() == 1) {
    std::vector<std::string> args = config["Shell"].strings();
    if (args.empty())
      args = {"/bin/sh", "-c"};
    args.push_back(std::move(test.front()));
    return args;
  }
  return Fail(Errc::kInvalid, Cat("Unknown healthcheck type '", kind, "' in Healthcheck.Test"));
}

}  // namespace

std::string MergeHealthcheck(JsonValue own, std::string_view image_json) {
  auto image = JsonDocument::Parse(image_json.empty() ? "{}" : image_json, "Healthcheck");
  JsonWriter json;
  json.Object();
  bool any = false;
  for (std::string_view name : kMembers) {
    JsonValue value = IsEmptyValue(own[name]) && image ? (*image)[name] : own[name];
    if (IsEmptyValue(value))
      continue;
    json.Field(name, value);
    any = true;
  }
  json.End();
  return any ? json.Take() : std::string();
}

Result<std::optional<HealthCheck>> ParseHealthcheck(JsonValue config) {
  JsonValue json = config["Healthcheck"];
  HealthCheck check;
  for (const Duration& duration : kDurations) {
    int64_t value = json[duration.name].integer();
    if (value != 0 && value < kLeast) {
      return Fail(Errc::kInvalid, Cat(duration.words, " in Healthcheck cannot be less than 1ms"));
    }
    check.*duration.member = value == 0 ? duration.fallback : nanoseconds(value);
  }
  check.retries = json["Retries"].integer();
  if (check.retries < 0)
    return Fail(Errc::kInvalid, "Retries in Healthcheck cannot be negative");
  if (check.retries == 0)
    check.retries = kDefaultRetries;
  auto test = json["Test"].strings();
  if (test.empty() || test.front() == "NONE")
    return std::nullopt;
  check.args = TRY(ParseTest(config, std::move(test)));
  return check;
}

}  // namespace wherry::engine
