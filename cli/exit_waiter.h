// Waiting for the end of a container.
#pragma once

#include <memory>
#include <string_view>

#include "cli/client.h"
#include "core/base/byte_source.h"
#include "core/base/result.h"

namespace wherry::cli {

// The waiting connection is opened before the start, so that the shortest container's exit is not
// missed.
class ExitWaiter {
 public:
  // `condition`: "next-exit", "removed" or "not-running".
  static Result<ExitWaiter> Open(Client& client, std::string_view id, std::string_view condition);
  // The exit code.
  Result<int> Wait();

 private:
  explicit ExitWaiter(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}
  std::unique_ptr<ByteSource> source_;
};

}  // namespace wherry::cli
