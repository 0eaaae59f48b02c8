#include "cli/pull.h"

#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/stream.h"
#include "cli/terminal.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

Result<> PullImage(Client& client, const std::string& image, const PullRequest& options) {
  auto reference = TRY(registry::Reference::Parse(image));
  std::vector<http::Header> headers = TRY(AuthHeaders(reference.registry));
  auto answer = TRY(client.Open("POST",
                                Target("/images/create", {{"fromImage", reference.Canonical()},
                                                          {"platform", options.platform}}),
                                {}, headers));
  bool terminal = IsTerminal(options.output);
  ProgressDisplay display(options.output,
                          terminal ? SizeOfTerminal(options.output).columns : uint16_t{0});
  return ForEachLine(*answer, [&](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "progress message"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kUnavailable, std::string(error));
    if (!options.quiet)
      display.Show(message.root());
    return {};
  });
}

}  // namespace wherry::cli
