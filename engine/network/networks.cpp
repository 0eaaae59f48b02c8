// Definitions of networks: see networks.h.
#include "engine/network/networks.h"

#include <unistd.h>

#include <algorithm>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxRecord = 1 << 20;
constexpr size_t kIdInBridgeName = 12;
constexpr std::string_view kSuffix = ".json";

struct PredefinedRow {
  std::string_view name;
  NetworkDriver driver;
};
constexpr PredefinedRow kPredefined[] = {
    {kBridgeNetwork, NetworkDriver::kBridge},
    {kHostNetwork, NetworkDriver::kHost},
    {kNoNetwork, NetworkDriver::kNull},
};

}  // namespace

Networks::Networks(Options options)
    : options_(std::move(options)), bridges_(options_.bridge, Cat(options_.run, "/forwarding")) {}

std::string Networks::RecordPath(std::string_view id) const {
  return Cat(options_.root, "/networks/", id, kSuffix);
}

// The same IDs at every start: clients remember them.
void Networks::Predefine() {
  for (const PredefinedRow& row : kPredefined) {
    Network network;
    network.id = Digest::Of(Cat("wherry network ", row.name, options_.root)).hex();
    network.name = row.name;
    network.driver = row.driver;
    network.predefined = true;
    network.created_nanos = UnixNanosNow();
    if (row.driver == NetworkDriver::kBridge) {
      network.bridge = options_.bridge;
      network.options["com.docker.network.bridge.default_bridge"] = "true";
      network.options["com.docker.network.bridge.name"] = options_.bridge;
      network.subnet = options_.subnet;
      // What containers of an earlier daemon use.
      if (auto there = bridges_.AddressOf(options_.bridge)) {
        network.subnet = net::Subnet::Around(there->address, there->prefix);
        network.gateway = there->address;
      }
      auto chosen = ChooseAddresses(network);
      if (!chosen)
        LogInfo("the network ", row.name, " has no addresses yet: ", chosen.error().message());
    }
    networks_[network.id] = std::move(network);
  }
}

Result<> Networks::RestoreRecord(const std::string& file) {
  std::string path = Cat(options_.root, "/networks/", file);
  std::string text = TRY(ReadFile(path, kMaxRecord));
  Network network = TRY(ParseNetworkRecord(text));
  if (RecordPath(network.id) != path)
    return Fail(Errc::kCorrupt, "is the record of another network");
  networks_[network.id] = std::move(network);
  return {};
}

Result<> Networks::Restore() {
  std::string directory = Cat(options_.root, "/networks");
  TRY(MakeDirs(directory, 0700));
  for (const std::string& file : TRY(ListDir(directory))) {
    if (!file.ends_with(kSuffix))
      continue;
    auto restored = RestoreRecord(file);
    if (!restored)
      LogError("the network of record ", directory, "/", file,
               " is lost: ", restored.error().message());
  }
  Predefine();
  for (const auto& [id, network] : networks_) {
    if (network.HasBridge() && bridges_.AddressOf(network.bridge))
      up_.insert(id);
  }
  return {};
}

std::vector<Network> Networks::List() const {
  std::vector<Network> list;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, network] : networks_)
      list.push_back(network);
  }
  std::ranges::sort(list, {}, &Network::name);
  return list;
}

Result<Network> Networks::Find(std::string_view reference) const {
  std::lock_guard lock(mutex_);
  if (auto found = networks_.find(reference); found != networks_.end())
    return found->second;
  const Network* match = nullptr;
  size_t matches = 0;
  for (const auto& [id, network] : networks_) {
    if (network.name == reference)
      return network;
    if (!reference.empty() && id.starts_with(reference)) {
      match = &network;
      ++matches;
    }
  }
  if (matches == 1)
    return *match;
  if (matches > 1)
    return Fail(Errc::kInvalid,
                Cat("network ", reference, " is ambiguous (", matches, " matches found)"));
  return Fail(Errc::kNotFound, Cat("network ", reference, " not found"));
}

// Fills in subnet and gateway; an error when they overlap another network's.
Result<> Networks::ChooseAddresses(Network& network) {
  std::vector<net::Subnet> others;
  for (const Network& other : List()) {
    if (!other.HasBridge() || other.id == network.id)
      continue;
    if (network.subnet.prefix != 0 && other.subnet.Overlaps(network.subnet)) {
      return Fail(Errc::kConflict, Cat("subnet ", network.subnet.Text(), " overlaps ",
                                       other.subnet.Text(), " of network ", other.name));
    }
    others.push_back(other.subnet);
  }
  if (network.subnet.prefix == 0) {
    auto used = TRY(bridges_.UsedSubnets());
    used.insert(used.end(), others.begin(), others.end());
    network.subnet = TRY(net::ChooseSubnet(used));
  }
  auto pool = TRY(net::AddressPool::Create(network.subnet, network.gateway, network.range));
  network.gateway = pool.gateway();
  return {};
}

// Against what else there is on this device.
Result<> Networks::CheckTunnel(const Network& wanted) {
  if (!wanted.tunnel)
    return {};
  for (const Network& other : List()) {
    if (!other.tunnel)
      continue;
    if (other.tunnel->vni == wanted.tunnel->vni)
      return Fail(Errc::kConflict, Cat("network ", other.name, " has the VXLAN number ",
                                       other.tunnel->vni, " too: choose another by --opt vni"));
    if (other.tunnel->port == wanted.tunnel->NamesPort() ||
        other.tunnel->NamesPort() == wanted.tunnel->port)
      return Fail(Errc::kConflict,
                  Cat("network ", other.name, " has the ports ", other.tunnel->port, " and ",
                      other.tunnel->NamesPort(), ": choose others by --opt port"));
  }
  for (net::Ipv4 peer : wanted.tunnel->peers) {
    if (TRY(bridges_.IsOwn(peer)))
      return Fail(Errc::kInvalid, Cat("peer ", peer.Text(),
                                      " is an address of this device: name "
                                      "the other devices only"));
  }
  return {};
}

Result<Network> Networks::Create(Network wanted) {
  std::lock_guard plumbing(plumbing_);
  if (auto there = Find(wanted.name); there && there->name == wanted.name)
    return Fail(Errc::kConflict, Cat("network with name ", wanted.name, " already exists"));
  wanted.id = RandomId();
  wanted.created_nanos = UnixNanosNow();
  if (wanted.bridge.empty())
    wanted.bridge = Cat("br-", std::string_view(wanted.id).substr(0, kIdInBridgeName));
  for (const Network& other : List()) {
    if (other.bridge == wanted.bridge)
      return Fail(Errc::kConflict,
                  Cat("bridge ", wanted.bridge, " is that of network ", other.name));
  }
  TRY(CheckTunnel(wanted));
  TRY(ChooseAddresses(wanted));
  TRY_CTX(Cat("create network ", wanted.name),
          ReplaceFile(RecordPath(wanted.id), Cat(NetworkRecordJson(wanted), "\n"), 0600,
                      Durability::kPersistent));
  {
    std::lock_guard lock(mutex_);
    networks_[wanted.id] = wanted;
  }
  auto filtered = wanted.tunnel ? ApplyFilter() : Result<>();
  if (!filtered)
    LogWarning("containers are not kept out of the tunnel of network ", wanted.name, ": ",
               filtered.error().message());
  return wanted;
}

Result<> Networks::Remove(std::string_view reference) {
  std::lock_guard plumbing(plumbing_);
  Network network = TRY(Find(reference));
  if (network.predefined)
    return Fail(Errc::kDenied,
                Cat(network.name, " is a pre-defined network and cannot be removed"));
  std::string users;
  for (const Member& member : Members(network.id))
    Append(users, users.empty() ? "" : ", ", member.container_name);
  if (!users.empty()) {
    return Fail(Errc::kConflict,
                Cat("error while removing network: network ", network.name,
                    " has active endpoints (", users, "); stop them or disconnect them"));
  }
  if (unlink(RecordPath(network.id).c_str()) != 0 && errno != ENOENT)
    return FailSys("unlink", RecordPath(network.id));
  if (up_.erase(network.id) != 0) {
    auto removed = bridges_.Remove(network);
    if (!removed)
      LogWarning("device ", network.bridge, " is left: ", removed.error().message());
  }
  pools_.erase(network.id);
  {
    std::lock_guard lock(mutex_);
    networks_.erase(network.id);
  }
  return ApplyFilter();
}

std::vector<Networks::Member> Networks::Members(std::string_view network_id) const {
  std::lock_guard lock(mutex_);
  std::vector<Member> members;
  for (const auto& [id, live] : lives_) {
    for (const Endpoint& endpoint : live.attachment.endpoints) {
      if (endpoint.network_id == network_id)
        members.push_back({id, live.name, endpoint});
    }
  }
  return members;
}

std::optional<Attachment> Networks::Of(std::string_view container_id) const {
  std::lock_guard lock(mutex_);
  auto found = lives_.find(container_id);
  if (found == lives_.end())
    return std::nullopt;
  return found->second.attachment;
}

bool Networks::HasMembers() const {
  std::lock_guard lock(mutex_);
  return !lives_.empty();
}

}  // namespace wherry::engine
