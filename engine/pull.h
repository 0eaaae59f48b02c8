// What a pull and a repair share.
#pragma once

#include "core/oci/image_spec.h"
#include "net/registry/client.h"
#include "store/store.h"

namespace wherry::engine {

store::Compression StoreCompression(oci::LayerCompression compression);

}  // namespace wherry::engine
