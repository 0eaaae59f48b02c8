#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

struct RestartPolicy {
  std::string condition = "any";
  int64_t attempts = 0;
};

constexpr KeyRow<Service> kLimitKeys[] = {
    {"cpus", [](const Value& v, Service& out) { out.host_config["NanoCpus"] = Cat(v.NanoCpus()); }},
    {"memory", [](const Value& v, Service& out) { out.host_config["Memory"] = Cat(v.Size()); }},
    {"pids", [](const Value& v, Service& out) { out.host_config["PidsLimit"] = Cat(v.Number()); }},
};
constexpr KeyRow<Service> kReservationKeys[] = {
    {"memory",
     [](const Value& v, Service& out) { out.host_config["MemoryReservation"] = Cat(v.Size()); }},
};
constexpr KeyRow<Service> kResourceKeys[] = {
    {"limits", [](const Value& v, Service& out) { ReadKeys<Service>(v, kLimitKeys, out); }},
    {"reservations",
     [](const Value& v, Service& out) { ReadKeys<Service>(v, kReservationKeys, out); }},
};
constexpr KeyRow<RestartPolicy> kRestartKeys[] = {
    {"condition", [](const Value& v, RestartPolicy& out) { out.condition = v.Text(); }},
    {"max_attempts", [](const Value& v, RestartPolicy& out) { out.attempts = v.Number(); }},
};

struct ConditionRow {
  std::string_view condition;
  std::string_view policy;
};
constexpr ConditionRow kConditions[] = {
    {"any", "always"}, {"none", "no"}, {"on-failure", "on-failure"}};

void ReadPolicy(const Value& value, Service& service) {
  RestartPolicy policy;
  ReadKeys<RestartPolicy>(value, kRestartKeys, policy);
  for (const ConditionRow& row : kConditions) {
    if (row.condition != policy.condition)
      continue;
    JsonWriter json;
    json.Object().Field("Name", row.policy);
    json.Field("MaximumRetryCount", row.policy == "on-failure" ? policy.attempts : 0).End();
    // `restart` has precedence.
    service.host_config.emplace("RestartPolicy", json.Take());
    return;
  }
  value.Bad("needs one of the conditions none, on-failure, any");
}

constexpr KeyRow<Service> kDeployKeys[] = {
    {"mode",
     [](const Value& v, Service&) {
       if (v.Text() != "replicated")
         v.Bad("can be replicated only");
     }},
    {"replicas",
     [](const Value& v, Service& out) {
       out.scale = v.Number();
       if (out.scale < 0 || out.scale > 1000)
         v.Bad("must be between 0 and 1000");
     }},
    {"resources", [](const Value& v, Service& out) { ReadKeys<Service>(v, kResourceKeys, out); }},
    {"restart_policy", ReadPolicy},
};

}  // namespace

void ReadDeploy(const Value& value, Service& service) {
  ReadKeys<Service>(value, kDeployKeys, service);
}

}  // namespace wherry::compose
