// commit, diff.
#include <unistd.h>

#include "cli/commands.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr Option kCommit[] = {
    {"author", 'a', OptionKind::kValue, "NAME", "Who made the image"},
    {"change", 'c', OptionKind::kList, "INSTRUCTION",
     "Change the configuration, as in a Dockerfile"},
    {"message", 'm', OptionKind::kValue, "TEXT", "What was changed"},
    {"pause", 'p', OptionKind::kFlag, "", "Freeze the container meanwhile (on; --pause=false)"},
};

}  // namespace

std::span<const Option> CommitOptions() {
  return kCommit;
}

Result<int> CommitCommand(const Invocation& call) {
  const Arguments& arguments = call.arguments;
  bool pause = !arguments.Has("pause") || arguments.Flag("pause");
  Query query = {{"container", call.word(0)},
                 {"comment", arguments.Value("message")},
                 {"author", arguments.Value("author")},
                 {"pause", pause ? "1" : "0"}};
  if (call.words().size() > 1) {
    auto name = TRY(registry::Reference::Parse(call.word(1)));
    query.emplace_back("repo", Cat(name.registry, "/", name.repository));
    query.emplace_back("tag", name.tag);
  }
  for (const std::string& change : arguments.List("change"))
    query.emplace_back("changes", change);
  auto answer = TRY(call.client.Post(Target("/commit", query)));
  TRY(Print(Cat(answer["Id"].str(), "\n")));
  return 0;
}

Result<int> DiffCommand(const Invocation& call) {
  constexpr std::string_view kKinds = "CAD";
  auto changes =
      TRY(call.client.Get(Target(Cat("/containers/", Segment(call.word(0)), "/changes"))));
  std::string text;
  for (JsonValue change : changes.root()) {
    auto kind = static_cast<size_t>(change["Kind"].integer());
    Append(text, kind < kKinds.size() ? kKinds[kind] : '?', " ", change["Path"].str(), "\n");
  }
  TRY(Print(text));
  return 0;
}

}  // namespace wherry::cli
