// inspect: containers first, then images, as docker inspect does; container inspect, image inspect.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

struct Kind {
  std::string_view path, noun;
};
constexpr Kind kKinds[] = {{"/containers/", "container"}, {"/images/", "image"}};
constexpr std::span<const Kind> kAll(kKinds);

Result<std::string> InspectOne(Client& client, std::span<const Kind> kinds,
                               const std::string& name) {
  std::string nouns;
  for (const Kind& kind : kinds) {
    Append(nouns, nouns.empty() ? "" : " or ", kind.noun);
    auto found = client.GetText(Target(Cat(kind.path, Segment(name), "/json")));
    if (found)
      return std::string(Trim(*found));
    if (found.error().code() != Errc::kNotFound)
      return std::unexpected(std::move(found).error());
  }
  return Fail(Errc::kNotFound, Cat("no ", nouns, " is named ", name));
}

Result<int> Inspect(const Invocation& call, std::span<const Kind> kinds) {
  std::string list;
  int status = 0;
  for (const std::string& name : call.words()) {
    auto text = InspectOne(call.client, kinds, name);
    if (text) {
      Append(list, list.empty() ? "" : ",\n", *text);
    } else {
      status = 1;
      TRY(WriteAll(STDERR_FILENO, Cat("wherry inspect: ", text.error().message(), "\n"),
                   "standard error"));
    }
  }
  TRY(Print(Cat("[", list, "]\n")));
  return status;
}

}  // namespace

Result<int> InspectCommand(const Invocation& call) {
  return Inspect(call, kAll);
}
Result<int> ContainerInspectCommand(const Invocation& call) {
  return Inspect(call, kAll.first(1));
}
Result<int> ImageInspectCommand(const Invocation& call) {
  return Inspect(call, kAll.last(1));
}

}  // namespace wherry::cli
