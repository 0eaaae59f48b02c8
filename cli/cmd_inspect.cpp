// inspect: containers first, then images, as docker inspect does.
#include <unistd.h>

#include "cli/commands.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr std::string_view kKinds[] = {"/containers/", "/images/"};

Result<std::string> InspectOne(Client& client, const std::string& name) {
  for (std::string_view kind : kKinds) {
    auto found = client.GetText(Target(Cat(kind, Segment(name), "/json")));
    if (found)
      return std::string(Trim(*found));
    if (found.error().code() != Errc::kNotFound)
      return std::unexpected(std::move(found).error());
  }
  return Fail(Errc::kNotFound, Cat("no container or image is named ", name));
}

}  // namespace

Result<int> InspectCommand(const Invocation& call) {
  std::string list;
  int status = 0;
  for (const std::string& name : call.words()) {
    auto text = InspectOne(call.client, name);
    if (text) {
      Append(list, list.empty() ? "" : ",\n", *text);
    } else {
      status = 1;
      TRY(WriteAll(STDERR_FILENO, Cat("wherry inspect: ", text.error().message(), "\n"),
                   "standard error"));
    }
  }
  TRY(WriteAll(STDOUT_FILENO, Cat("[", list, "]\n"), "standard output"));
  return status;
}

}  // namespace wherry::cli
