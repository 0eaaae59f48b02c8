// All networks of the engine, and the containers in them while they run. Records are
// <root>/networks/<id>.json; devices are made when the first container needs them. Thread-safe.
// What only looks (List, Find, Of, Members, names) never blocks; the rest is for worker threads.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/network/bridges.h"
#include "engine/network/endpoint.h"
#include "engine/network/network.h"
#include "engine/network/ports.h"
#include "net/link/address_pool.h"

namespace wherry::engine {

class Networks {
 public:
  struct Options {
    std::string root;    // of the daemon
    std::string run;     // run directory of the daemon
    std::string bridge;  // device of the network "bridge"; names the table of the packet filter
    net::Subnet subnet;  // of that network; prefix 0: chosen
  };
  explicit Networks(Options options);

  // Once, before anything else.
  Result<> Restore();

  std::vector<Network> List() const;  // by name
  // By ID, name or unique beginning of the ID. kNotFound "network x not found".
  Result<Network> Find(std::string_view reference) const;
  // kConflict for a name that exists, and for a subnet that overlaps another one.
  Result<Network> Create(Network wanted);
  // kConflict naming the containers in it, kDenied for a predefined one.
  Result<> Remove(std::string_view reference);

  struct Member {
    std::string container_id;
    std::string container_name;
    Endpoint endpoint;
  };
  std::vector<Member> Members(std::string_view network_id) const;

  // A container that starts.
  struct Plan {
    std::string container_id;
    std::string container_name;
    std::string run_directory;
    std::vector<EndpointRequest> endpoints;
    std::vector<PortRequest> ports;
  };
  // Its network namespace, with lo and all devices up. `udp` and `tcp` are sockets in there that
  // get what the container sends to 127.0.0.11:53.
  struct Sandbox {
    UniqueFd netns;
    UniqueFd udp;
    UniqueFd tcp;
    Attachment attachment;
  };
  Result<Sandbox> Open(const Plan& plan);
  // The same for a container that runs already, in its namespace: after a start of the daemon.
  Result<Sandbox> Reopen(const Plan& plan, UniqueFd netns);
  // When it has ended; nothing happens when there is nothing of it.
  void Close(const std::string& container_id);

  // A running container, in its namespace. Connecting twice is kConflict.
  Result<Endpoint> Connect(const Plan& plan, const EndpointRequest& request, UniqueFd netns);
  Result<> Disconnect(const Plan& plan, const std::string& network_id, UniqueFd netns);

  // A container that takes the place of another one starts aside: with its addresses, without its
  // published ports, and nobody gets its address by an alias. So it starts until it is handed over
  // to, or until `aside` is false.
  void StartAside(const std::string& container_id, bool aside);
  struct Successor {
    std::string container_id;  // has to be in a network: kConflict
    std::string predecessor;   // its place is taken; empty, or it has ended: nobody's
    std::vector<PortRequest> ports;
  };
  // In one step for all packets, all successors have the ports they ask for, whichever predecessor
  // had them, and answer to their aliases, and the predecessors are aside; connections that exist
  // stay where they are. After an error nothing has changed. May be repeated.
  Result<> HandOver(std::span<const Successor> successors);

  // Removes rules of containers that ended while no daemon ran.
  Result<> Reconcile();
  // When no container runs: removes all devices and rules, nothing of the records.
  void TearDown();

  std::optional<Attachment> Of(std::string_view container_id) const;
  bool HasMembers() const;

  // Names as a container of those networks sees them. `known` without addresses never happens.
  std::vector<net::Ipv4> Resolve(std::string_view container_id, std::string_view name) const;
  std::optional<std::string> NameOf(std::string_view container_id, net::Ipv4 address) const;
  // Whether a network of the container leads to the world.
  bool LeadsOut(std::string_view container_id) const;

  // The overlay networks of a container: whose peers may know a name that nobody here has.
  struct Remote {
    net::Tunnel tunnel;
    net::Subnet subnet;
  };
  std::vector<Remote> RemotesOf(std::string_view container_id) const;
  // What a peer is told of the names here in the network of that number; nothing when it is no peer
  // of that network.
  struct PeerAnswer {
    std::vector<net::Ipv4> addresses;
    net::Ipv4 local;  // what it is sent from; 0.0.0.0: as routes say
  };
  std::optional<PeerAnswer> AnswerPeer(net::Ipv4 peer, uint32_t vni, std::string_view name) const;
  // UDP ports at which peers ask: of the overlay networks that containers are in.
  std::set<uint16_t> NamesPorts() const;

 private:
  struct Live {
    std::string name;
    std::string run_directory;
    Attachment attachment;
    std::vector<UniqueFd> holds;  // of each port; empty for one that could not be bound
  };
  using Lives = std::map<std::string, Live, std::less<>>;

  // REQUIRES: mutex_.
  void ForNeighbours(std::string_view container_id,
                     std::move_only_function<void(const Endpoint&, bool aside)> use) const;

  std::string RecordPath(std::string_view id) const;
  Result<> RestoreRecord(const std::string& file);
  void Predefine();
  Result<> ChooseAddresses(Network& network);
  Result<net::AddressPool*> Pool(const Network& network);
  Result<> CheckTunnel(const Network& wanted);
  Result<> BringUp(const Network& network);
  Result<Endpoint> Attach(const Plan& plan, const EndpointRequest& request, int netns, Live& live);
  void Detach(const Endpoint& endpoint);
  Result<Sandbox> MakeSandbox(const Plan& plan);
  Result<> Fill(const Plan& plan, int netns, Live& live);
  Result<HeldPort> Hold(const PortRequest& request, net::Ipv4 address) const;
  Result<> HoldPorts(const Plan& plan, Live& live);
  net::Ipv4 PublishAddress(const Attachment& attachment) const;
  struct Handing;
  void Offer(Handing& handing, const std::string& container_id);
  Result<> Claim(Handing& handing, const Successor& successor);
  void Exchange(Handing& handing);
  std::string PortHolder(const PortRequest& wanted) const;
  void Put(const std::string& container_id, Live live);
  Result<> Save(const std::string& container_id) const;
  Result<> ApplyFilter();

  Options options_;
  std::mutex plumbing_;                                         // held while the kernel is changed
  Bridges bridges_;                                             // guarded by plumbing_
  std::map<std::string, net::AddressPool, std::less<>> pools_;  // by network; guarded by plumbing_
  std::set<std::string, std::less<>> up_;                       // networks; guarded by plumbing_
  mutable std::mutex mutex_;                                    // never held while blocking
  std::map<std::string, Network, std::less<>> networks_;        // by ID; guarded by mutex_
  Lives lives_;                                                 // by container; guarded by mutex_
  std::set<std::string, std::less<>> aside_;  // containers that start so; guarded by mutex_
};

}  // namespace wherry::engine
