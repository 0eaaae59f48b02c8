#include "cli/exit_waiter.h"

#include <array>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::cli {

Result<ExitWaiter> ExitWaiter::Open(Client& client, std::string_view id,
                                    std::string_view condition) {
  auto source = TRY(client.Open("POST", Target(Cat("/containers/", Segment(id), "/wait"),
                                               {{"condition", std::string(condition)}})));
  return ExitWaiter(std::move(source));
}

Result<int> ExitWaiter::Wait() {
  std::string text;
  std::array<std::byte, 4096> buffer;
  for (size_t count; (count = TRY(source_->Read(buffer))) > 0;) {
    text.append(static_cast<const char*>(static_cast<const void*>(buffer.data())), count);
  }
  auto answer = TRY(JsonDocument::Parse(text, "answer of wait"));
  std::string_view failed = answer["Error"]["Message"].str();
  if (!failed.empty())
    return Fail(Errc::kInternal, std::string(failed));
  return static_cast<int>(answer["StatusCode"].integer());
}

}  // namespace wherry::cli
