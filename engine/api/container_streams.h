// The two container routes that stream: attach and logs (docker-api.md 2.2). Loop thread only.
#pragma once

#include "engine/api/api.h"
#include "engine/container.h"

namespace wherry::engine::api {

// POST /containers/{name}/attach: takes the connection over.
void AttachContainer(const Services& services, Call call);

// The head of the answer with which a connection stops being HTTP.
std::string HijackHead(const Call& call, bool tty);
// The keys that end an attachment; empty: Docker's.
Result<std::string> ReadDetachKeys(std::string_view keys);

// GET /containers/{name}/logs: a streamed answer.
void ContainerLogs(const Services& services, Call call);

}  // namespace wherry::engine::api
