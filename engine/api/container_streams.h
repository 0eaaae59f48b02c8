// The two container routes that stream: attach and logs (docker-api.md 2.2). Loop thread only.
#pragma once

#include "engine/api/api.h"
#include "engine/container.h"

namespace wherry::engine::api {

// POST /containers/{name}/attach: takes the connection over.
void AttachContainer(const Services& services, Call call);

// GET /containers/{name}/logs: a streamed answer.
void ContainerLogs(const Services& services, Call call);

}  // namespace wherry::engine::api
