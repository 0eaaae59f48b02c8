#include "cli/pull.h"

#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/stream.h"
#include "cli/terminal.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

Result<> ShowProgress(ByteSource& answer, bool quiet, int output) {
  ProgressDisplay display(output,
                          IsTerminal(output) ? SizeOfTerminal(output).columns : uint16_t{0});
  return ForEachLine(answer, [&](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "progress message"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kUnavailable, std::string(error));
    if (!quiet && message["status"])
      display.Show(message.root());
    return {};
  });
}

}  // namespace

Result<> PullImage(Client& client, const std::string& image, const PullRequest& options) {
  auto reference = TRY(registry::Reference::Parse(image));
  std::vector<http::Header> headers = TRY(AuthHeaders(reference.registry));
  auto answer = TRY(client.Open("POST",
                                Target("/images/create", {{"fromImage", reference.Canonical()},
                                                          {"platform", options.platform}}),
                                {}, headers));
  return ShowProgress(*answer, options.quiet, options.output);
}

Result<> PushImage(Client& client, const std::string& image, const PushRequest& options) {
  auto reference = TRY(registry::Reference::Parse(image));
  if (reference.digest)
    return Fail(Errc::kInvalid, "cannot push a digest reference; give NAME:TAG");
  std::vector<http::Header> headers = TRY(AuthHeaders(reference.registry));
  std::string repository = Cat(reference.registry, "/", reference.repository);
  auto answer = TRY(client.Open("POST",
                                Target(Cat("/images/", Segment(repository), "/push"),
                                       {{"tag", options.all_tags ? std::string() : reference.tag}}),
                                {}, headers));
  return ShowProgress(*answer, options.quiet, options.output);
}

}  // namespace wherry::cli
