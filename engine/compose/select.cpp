// Which services, and in which order.
#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "engine/compose/group.h"

namespace wherry::compose {

namespace {

constexpr std::string_view kServicePrefix = "service:";

template <class T>
const T* FindIn(const std::vector<T>& list, std::string_view key) {
  auto found = std::ranges::find_if(list, [key](const T& one) { return one.key == key; });
  return found == list.end() ? nullptr : &*found;
}

struct Edge {
  std::string_view to;
  bool required;
};

std::vector<Edge> EdgesOf(const Service& service) {
  std::vector<Edge> edges;
  for (const Dependency& dependency : service.depends_on)
    edges.push_back({dependency.service, dependency.required});
  if (service.network_mode.starts_with(kServicePrefix))
    edges.push_back({std::string_view(service.network_mode).substr(kServicePrefix.size()), true});
  return edges;
}

bool Enabled(const Service& service, const std::vector<std::string>& profiles) {
  if (service.profiles.empty())
    return true;
  return std::ranges::any_of(profiles, [&](const std::string& profile) {
    return profile == "*" || std::ranges::find(service.profiles, profile) != service.profiles.end();
  });
}

class Walker {
 public:
  Walker(const Group& group, const std::vector<std::string>& profiles)
      : group_(group), profiles_(profiles) {}

  // Puts what `service` needs before it.
  Result<> Visit(const Service& service) {
    if (done_.contains(&service))
      return {};
    auto again = std::ranges::find(way_, &service);
    if (again != way_.end()) {
      std::string names;
      for (; again != way_.end(); ++again)
        Append(names, (*again)->name, " -> ");
      return Fail(Errc::kInvalid,
                  Cat("services depend on each other in a circle: ", names, service.name));
    }
    way_.push_back(&service);
    for (const Edge& edge : EdgesOf(service)) {
      const Service* needed = group_.FindService(edge.to);
      if (needed == nullptr ||
          (!all_ && !Enabled(*needed, profiles_) && !named_.contains(needed))) {
        if (!edge.required)
          continue;
        return Fail(Errc::kInvalid,
                    Cat("service ", service.name, " depends on ", edge.to,
                        needed == nullptr ? ", which is not there"
                                          : ", which no active profile switches on"));
      }
      TRY(Visit(*needed));
    }
    way_.pop_back();
    done_.insert(&service);
    order_.push_back(&service);
    return {};
  }

  void IgnoreProfiles() { all_ = true; }
  void Name(const Service& service) { named_.insert(&service); }
  std::vector<const Service*> TakeOrder() { return std::move(order_); }

 private:
  const Group& group_;
  const std::vector<std::string>& profiles_;
  bool all_ = false;
  std::set<const Service*> named_;
  std::set<const Service*> done_;
  std::vector<const Service*> way_;
  std::vector<const Service*> order_;
};

}  // namespace

const Service* Group::FindService(std::string_view service) const {
  auto found =
      std::ranges::find_if(services, [service](const Service& s) { return s.name == service; });
  return found == services.end() ? nullptr : &*found;
}

const Network* Group::FindNetwork(std::string_view key) const {
  return FindIn(networks, key);
}

const Volume* Group::FindVolume(std::string_view key) const {
  return FindIn(volumes, key);
}

Result<std::vector<const Service*>> SelectServices(const Group& group,
                                                   const std::vector<std::string>& names,
                                                   const std::vector<std::string>& profiles,
                                                   Dependencies dependencies) {
  std::vector<const Service*> wanted;
  for (const std::string& name : names) {
    const Service* service = group.FindService(name);
    if (service == nullptr)
      return Fail(Errc::kNotFound, Cat("no such service: ", name));
    wanted.push_back(service);
  }
  // A service that is named brings its profiles along.
  std::vector<std::string> active = profiles;
  for (const Service* service : wanted)
    active.insert(active.end(), service->profiles.begin(), service->profiles.end());
  if (names.empty()) {
    for (const Service& service : group.services) {
      if (Enabled(service, profiles))
        wanted.push_back(&service);
    }
  }
  Walker walker(group, active);
  if (dependencies == Dependencies::kLeaveOut)
    walker.IgnoreProfiles();
  for (const Service* service : wanted)
    walker.Name(*service);
  for (const Service* service : wanted)
    TRY(walker.Visit(*service));
  std::vector<const Service*> order = walker.TakeOrder();
  if (dependencies == Dependencies::kLeaveOut) {
    std::erase_if(order, [&](const Service* service) {
      return std::ranges::find(wanted, service) == wanted.end();
    });
  }
  return order;
}

Result<> CheckCycles(const Group& group) {
  std::vector<std::string> none;
  Walker walker(group, none);
  walker.IgnoreProfiles();
  for (const Service& service : group.services)
    TRY(walker.Visit(service));
  return {};
}

}  // namespace wherry::compose
