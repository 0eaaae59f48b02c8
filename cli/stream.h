// Output of containers on its way to our own standard streams, and answers that come line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/result.h"

namespace wherry::cli {

// Splits Docker's stream frames (8 byte header: stream, 0, 0, 0, big-endian length) into standard
// output and error.
class Demultiplexer {
 public:
  // Gets descriptor 1 or 2 and bytes of it.
  using Sink = std::move_only_function<Result<>(int fd, std::string_view bytes)>;

  Demultiplexer();  // to our own streams
  explicit Demultiplexer(Sink sink) : sink_(std::move(sink)) {}
  Result<> Feed(std::string_view bytes);

 private:
  Sink sink_;
  std::string header_;
  uint32_t left_ = 0;
  int target_ = 1;
};

// Reads `source` to its end into our standard streams.
enum class Framing : uint8_t { kRaw, kMultiplexed };
Result<> CopyOutput(ByteSource& source, Framing framing);

// Calls `line` for each line of a JSON stream, without line end; empty lines are left out.
Result<> ForEachLine(ByteSource& source,
                     const std::move_only_function<Result<>(std::string_view) const>& line);

}  // namespace wherry::cli
