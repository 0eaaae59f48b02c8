// The other way round of decompress.h: content as a gzip stream (RFC 1952) while it is read. The
// same content always gives the same bytes.
#pragma once

#include <memory>

#include "core/base/byte_source.h"
#include "core/base/result.h"

namespace wherry::store {

// `inner` must outlive the result.
Result<std::unique_ptr<ByteSource>> Compress(ByteSource& inner);

}  // namespace wherry::store
