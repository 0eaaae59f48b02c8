#include <algorithm>

#include "core/base/text.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

constexpr KeyRow<NetworkUse> kNetworkKeys[] = {
    {"aliases", [](const Value& v, NetworkUse& out) { out.aliases = v.Texts(); }},
    {"ipv4_address", [](const Value& v, NetworkUse& out) { out.ipv4 = v.Text(); }},
    {"mac_address", [](const Value& v, NetworkUse& out) { out.mac_address = v.Text(); }},
    {"priority", [](const Value& v, NetworkUse& out) { out.priority = v.Number(); }},
};

struct ConditionRow {
  std::string_view name;
  Condition condition;
};
constexpr ConditionRow kConditions[] = {
    {"service_completed_successfully", Condition::kCompleted},
    {"service_healthy", Condition::kHealthy},
    {"service_started", Condition::kStarted},
};

constexpr KeyRow<Dependency> kDependencyKeys[] = {
    {"condition",
     [](const Value& v, Dependency& out) {
       std::string text = v.Text();
       for (const ConditionRow& row : kConditions) {
         if (row.name == text) {
           out.condition = row.condition;
           return;
         }
       }
       v.Bad("must be service_started, service_healthy or service_completed_successfully");
     }},
    {"required", [](const Value& v, Dependency& out) { out.required = v.Flag(); }},
    {"restart",
     [](const Value& v, Dependency&) {
       if (v.Flag())
         v.Unsupported();
     }},
};

}  // namespace

void ReadNetworks(const Value& value, Service& service) {
  if (value.IsList()) {
    for (std::string& name : value.Texts()) {
      NetworkUse use;
      use.network = std::move(name);
      service.networks.push_back(std::move(use));
    }
  } else if (value.ExpectMap()) {
    for (size_t i = 0; i < value.size(); ++i) {
      NetworkUse use;
      use.network = value.Key(i);
      if (!value.node().items[i].IsNull())
        ReadKeys<NetworkUse>(value.Member(i), kNetworkKeys, use);
      service.networks.push_back(std::move(use));
    }
  }
  std::ranges::sort(service.networks, [](const NetworkUse& a, const NetworkUse& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.network < b.network;
  });
}

void ReadDependsOn(const Value& value, Service& service) {
  if (value.IsList()) {
    for (std::string& name : value.Texts()) {
      Dependency dependency;
      dependency.service = std::move(name);
      service.depends_on.push_back(std::move(dependency));
    }
  } else if (value.ExpectMap()) {
    for (size_t i = 0; i < value.size(); ++i) {
      Dependency dependency;
      dependency.service = value.Key(i);
      if (!value.node().items[i].IsNull())
        ReadKeys<Dependency>(value.Member(i), kDependencyKeys, dependency);
      service.depends_on.push_back(std::move(dependency));
    }
  }
}

}  // namespace wherry::compose
