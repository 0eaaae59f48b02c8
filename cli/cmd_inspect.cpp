// inspect: containers first, then images, as docker inspect does; inspect of each kind.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

struct Kind {
  std::string_view path, action, noun;
};
constexpr Kind kKinds[] = {{"/containers/", "/json", "container"},
                           {"/images/", "/json", "image"},
                           {"/networks/", "", "network"},
                           {"/volumes/", "", "volume"}};

std::span<const Kind> Kinds(size_t first, size_t count = 1) {
  return std::span(kKinds).subspan(first, count);
}

Result<std::string> InspectOne(Client& client, std::span<const Kind> kinds,
                               const std::string& name) {
  std::string nouns;
  for (const Kind& kind : kinds) {
    Append(nouns, nouns.empty() ? "" : " or ", kind.noun);
    auto found = client.GetText(Target(Cat(kind.path, Segment(name), kind.action)));
    if (found)
      return std::string(Trim(*found));
    if (found.error().code() != Errc::kNotFound)
      return std::unexpected(std::move(found).error());
  }
  return Fail(Errc::kNotFound, Cat("no such ", nouns, ": ", name));
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
  return Inspect(call, Kinds(0, 2));
}
Result<int> ContainerInspectCommand(const Invocation& call) {
  return Inspect(call, Kinds(0));
}
Result<int> ImageInspectCommand(const Invocation& call) {
  return Inspect(call, Kinds(1));
}
Result<int> NetworkInspectCommand(const Invocation& call) {
  return Inspect(call, Kinds(2));
}
Result<int> VolumeInspectCommand(const Invocation& call) {
  return Inspect(call, Kinds(3));
}

}  // namespace wherry::cli
