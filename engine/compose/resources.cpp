#include "engine/compose/resources.h"

#include "core/base/text.h"

namespace wherry::compose {

namespace {

constexpr KeyRow<Network::Subnet> kSubnetKeys[] = {
    {"gateway", [](const Value& v, Network::Subnet& out) { out.gateway = v.Text(); }},
    {"ip_range", [](const Value& v, Network::Subnet& out) { out.ip_range = v.Text(); }},
    {"subnet", [](const Value& v, Network::Subnet& out) { out.subnet = v.Text(); }},
};

constexpr KeyRow<Network> kIpamKeys[] = {
    {"config",
     [](const Value& v, Network& out) {
       if (!v.ExpectList())
         return;
       for (size_t i = 0; i < v.size(); ++i) {
         Network::Subnet subnet;
         ReadKeys<Network::Subnet>(v.Element(i), kSubnetKeys, subnet);
         out.subnets.push_back(std::move(subnet));
       }
     }},
    {"driver",
     [](const Value& v, Network&) {
       if (v.Text() != "default")
         v.Unsupported();
     }},
};

// `external: true`, or as it was: `external: {name: NAME}`.
template <class T>
void ReadExternal(const Value& value, T& out) {
  if (!value.IsMap()) {
    out.external = value.Flag();
    return;
  }
  out.external = true;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value.Key(i) == "name") {
      out.name = value.Member(i).Text();
    } else {
      value.Member(i).Unsupported();
    }
  }
}

constexpr KeyRow<Network> kNetworkKeys[] = {
    {"attachable", [](const Value& v, Network&) { (void)v.Flag(); }},  // always so outside a swarm
    {"driver", [](const Value& v, Network& out) { out.driver = v.Text(); }},
    {"driver_opts", [](const Value& v, Network& out) { out.options = v.Strings(); }},
    {"enable_ipv6",
     [](const Value& v, Network&) {
       if (v.Flag())
         v.Unsupported();
     }},
    {"external", ReadExternal<Network>},
    {"internal", [](const Value& v, Network& out) { out.internal = v.Flag(); }},
    {"ipam", [](const Value& v, Network& out) { ReadKeys<Network>(v, kIpamKeys, out); }},
    {"labels", [](const Value& v, Network& out) { out.labels = v.Strings(); }},
    {"name", [](const Value& v, Network& out) { out.name = v.Text(); }},
};

constexpr KeyRow<Volume> kVolumeKeys[] = {
    {"driver", [](const Value& v, Volume& out) { out.driver = v.Text(); }},
    {"driver_opts", [](const Value& v, Volume& out) { out.options = v.Strings(); }},
    {"external", ReadExternal<Volume>},
    {"labels", [](const Value& v, Volume& out) { out.labels = v.Strings(); }},
    {"name", [](const Value& v, Volume& out) { out.name = v.Text(); }},
};

template <class T>
void ReadAll(const Value& value, std::span<const KeyRow<T>> rows, const std::string& group,
             std::vector<T>& out) {
  if (!value.ExpectMap())
    return;
  for (size_t i = 0; i < value.size(); ++i) {
    T one;
    one.key = value.Key(i);
    if (!value.node().items[i].IsNull())
      ReadKeys<T>(value.Member(i), rows, one);
    if (one.name.empty())
      one.name = one.external ? one.key : Cat(group, "_", one.key);
    out.push_back(std::move(one));
  }
}

}  // namespace

void ReadTopNetworks(const Value& value, Group& group) {
  ReadAll<Network>(value, kNetworkKeys, group.name, group.networks);
}

void ReadTopVolumes(const Value& value, Group& group) {
  ReadAll<Volume>(value, kVolumeKeys, group.name, group.volumes);
}

}  // namespace wherry::compose
