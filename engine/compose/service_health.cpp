#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

struct Health {
  std::vector<std::string> test;
  bool disable = false;
  std::map<std::string_view, int64_t> numbers;  // by the member of the request
};

void ReadTest(const Value& value, Health& health) {
  if (!value.IsList()) {
    health.test = {"CMD-SHELL", value.Text()};
    return;
  }
  health.test = value.Texts();
  const std::string first = health.test.empty() ? std::string() : health.test[0];
  if (first != "NONE" && first != "CMD" && first != "CMD-SHELL")
    value.Bad("must begin with NONE, CMD or CMD-SHELL");
}

constexpr KeyRow<Health> kKeys[] = {
    {"disable", [](const Value& v, Health& out) { out.disable = v.Flag(); }},
    {"interval", [](const Value& v, Health& out) { out.numbers["Interval"] = v.Nanoseconds(); }},
    {"retries", [](const Value& v, Health& out) { out.numbers["Retries"] = v.Number(); }},
    {"start_interval",
     [](const Value& v, Health& out) { out.numbers["StartInterval"] = v.Nanoseconds(); }},
    {"start_period",
     [](const Value& v, Health& out) { out.numbers["StartPeriod"] = v.Nanoseconds(); }},
    {"test", ReadTest},
    {"timeout", [](const Value& v, Health& out) { out.numbers["Timeout"] = v.Nanoseconds(); }},
};

}  // namespace

void ReadHealthcheck(const Value& value, Service& service) {
  Health health;
  ReadKeys<Health>(value, kKeys, health);
  if (health.disable)
    health.test = {"NONE"};
  JsonWriter json;
  json.Object();
  if (!health.test.empty())
    json.Field("Test", health.test);
  for (const auto& [member, number] : health.numbers)
    json.Field(member, number);
  json.End();
  service.config["Healthcheck"] = json.Take();
}

}  // namespace wherry::compose
