// linux.resources of config.json (config-linux.md "Control groups"). Internal to core/oci.
#pragma once

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci/spec_reader.h"

namespace wherry::oci {

// Errors as RuntimeSpec::Parse.
Result<> ReadResources(const Field& field, LinuxResources& out);

}  // namespace wherry::oci
