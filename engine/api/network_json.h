// Networks as Docker's API shows them, and what a container shows of its own (Network,
// NetworkSettings, EndpointSettings, Port of API v1.47). No state.
#pragma once

#include "core/base/json.h"
#include "engine/container.h"
#include "engine/network/networks.h"

namespace wherry::engine::api {

// "Networks": one member for each network the container is to be in.
void WriteEndpoints(JsonWriter& json, const Container& container, const Networks& networks);
// "NetworkSettings" of inspect.
void WriteNetworkSettings(JsonWriter& json, const Container& container, const Networks& networks);
// "Ports" of a list's row.
void WritePortList(JsonWriter& json, const Container& container, const Networks& networks);

// A network; `members`: with the containers in it.
void WriteNetwork(JsonWriter& json, const Networks& networks, const Network& network, bool members);

}  // namespace wherry::engine::api
