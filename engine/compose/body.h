// A group's services, networks and volumes as requests to the engine (Docker Engine API:
// ContainerCreate, NetworkCreate, VolumeCreate), with the labels by which docker compose finds
// them again.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/compose/group.h"

namespace wherry::compose {

inline constexpr std::string_view kProjectLabel = "com.docker.compose.project";
inline constexpr std::string_view kServiceLabel = "com.docker.compose.service";
inline constexpr std::string_view kNumberLabel = "com.docker.compose.container-number";
inline constexpr std::string_view kOneOffLabel = "com.docker.compose.oneoff";
inline constexpr std::string_view kHashLabel = "com.docker.compose.config-hash";
inline constexpr std::string_view kImageLabel = "com.docker.compose.image";

// One container of a service.
struct Instance {
  std::string name;  // what it is called in its networks
  int64_t number = 1;
  bool one_off = false;      // of `run`: not counted, reached by its name alone
  bool use_aliases = false;  // of the service, although one_off
  bool auto_remove = false;  // when it ends
  bool attach_input = false;
  std::string image_id;
  std::string network_container;  // ID for network_mode "service:NAME"
  struct Inherited {
    std::string volume, target;
  };
  std::vector<Inherited> volumes;  // anonymous ones of the container before it
};

// The body of POST /containers/create.
std::string ContainerBody(const Group& group, const Service& service, const Instance& instance);
// Changes when a container has to be made anew: hex, in the label kHashLabel.
std::string ConfigHash(const Group& group, const Service& service);
// "GROUP-SERVICE-1", or the name the file gives.
std::string ContainerName(const Group& group, const Service& service, int64_t number);

// The bodies of POST /networks/create and POST /volumes/create, with a kHashLabel of their own.
std::string NetworkBody(const Group& group, const Network& network);
std::string VolumeBody(const Group& group, const Volume& volume);
std::string NetworkHash(const Network& network);
std::string VolumeHash(const Volume& volume);

// The same bodies without the labels of docker compose, for what is made by others.
std::string PlainContainerBody(const Group& group, const Service& service);
std::string PlainNetworkBody(const Network& network);
std::string PlainVolumeBody(const Volume& volume);

}  // namespace wherry::compose
