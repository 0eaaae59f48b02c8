// What a registry's refusal means, in sentences that say what to do.
#pragma once

#include "core/base/result.h"
#include "net/registry/endpoint.h"

namespace wherry::registry {

// REQUIRES: the answer's status is no success. `with_credentials`: the request could be made with
// some.
Error StatusError(const Transport::Answer& answer, const Ask& ask, const Reference& reference,
                  bool with_credentials);

}  // namespace wherry::registry
