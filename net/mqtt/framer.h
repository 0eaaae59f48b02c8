// Cuts a stream of bytes into packets (2.1). Holds at most one packet.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::mqtt {

class Framer {
 public:
  // `limit`: of a whole packet, in bytes.
  explicit Framer(size_t limit) : limit_(limit) {}

  // Calls `use` with the first byte and the body of each packet that is complete. Returns its first
  // error, or one as in wire.h; after that nothing more may be fed.
  using Use = std::function<Result<>(uint8_t first, std::string_view body)>;
  Result<> Feed(std::string_view bytes, const Use& use);

 private:
  // The number of bytes of the packet at the start of `bytes`; 0: more are needed to tell, or to
  // have it whole.
  Result<size_t> Measure(std::string_view bytes, size_t& head) const;

  size_t limit_;
  std::string held_;
};

}  // namespace wherry::mqtt
