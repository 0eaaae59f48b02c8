#include "engine/build/instruction.h"

#include <algorithm>
#include <iterator>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/build/flags.h"
#include "engine/build/run_mount.h"

namespace wherry::build {

namespace {

using Words = std::vector<std::string>;
using What = decltype(Instruction::what);
using Maker = Result<What> (*)(const Statement& statement, const Flags& flags);

enum class Count : uint8_t { kAny, kOne, kSome, kTwo };

std::unexpected<Error> Invalid(std::string message) {
  return Fail(Errc::kInvalid, std::move(message));
}

CommandLine CommandOf(const Statement& statement, size_t first = 0) {
  return {Words(statement.words.begin() + static_cast<ptrdiff_t>(first), statement.words.end()),
          !statement.json};
}

Result<std::vector<KeyValue>> Pairs(const Statement& statement) {
  std::vector<KeyValue> pairs;
  for (size_t i = 0; i + 2 < statement.words.size(); i += 3) {
    if (statement.words[i].empty())
      return Invalid(Cat(KeywordName(statement.keyword), " names can not be blank"));
    pairs.push_back({statement.words[i], statement.words[i + 1]});
  }
  return pairs;
}

Result<Sources> SourcesOf(const Statement& statement, const Flags& flags) {
  Sources sources;
  std::string_view name = KeywordName(statement.keyword);
  size_t next = 0;  // here-document
  for (const std::string& word : statement.words) {
    bool last = &word == &statement.words.back();
    auto heredoc = statement.json ? std::optional<Heredoc>() : TRY(ParseHeredocWord(word));
    if (last && heredoc)
      return Invalid(Cat(name, " cannot accept a heredoc as a destination"));
    if (last) {
      sources.destination = word;
    } else if (!heredoc) {
      sources.paths.push_back(word);
    } else {
      while (next < statement.heredocs.size() && statement.heredocs[next].name != heredoc->name)
        ++next;
      if (next == statement.heredocs.size())
        return Invalid(Cat(name, ": no lines for the heredoc ", heredoc->name));
      if (heredoc->name == "." || heredoc->name == ".." ||
          heredoc->name.find('/') != std::string::npos)
        return Invalid(Cat(name, ": the heredoc ", heredoc->name, " cannot be the name of a file"));
      sources.files.push_back(statement.heredocs[next++]);
    }
  }
  sources.chown = flags.Text("chown");
  sources.chmod = flags.Text("chmod");
  sources.exclude = flags.List("exclude");
  sources.link = flags.Bool("link").value_or(false);
  return sources;
}

Result<What> MakeAdd(const Statement& statement, const Flags& flags) {
  Add add;
  add.sources = TRY(SourcesOf(statement, flags));
  add.checksum = flags.Text("checksum");
  add.keep_git_dir = flags.Bool("keep-git-dir");
  add.unpack = flags.Bool("unpack");
  return add;
}

Result<What> MakeArg(const Statement& statement, const Flags&) {
  Arg arg;
  for (const std::string& word : statement.words) {
    auto pair = SplitFirst(word, '=');
    if (pair && pair->head.empty())
      return Invalid("ARG names can not be blank");
    Arg::Definition definition{.name = word, .value = {}};
    if (pair) {
      definition.name = pair->head;
      definition.value = std::string(pair->tail);
    }
    arg.definitions.push_back(std::move(definition));
  }
  return arg;
}

Result<What> MakeCmd(const Statement& statement, const Flags&) {
  return Cmd{CommandOf(statement)};
}

Result<What> MakeCopy(const Statement& statement, const Flags& flags) {
  Copy copy;
  copy.sources = TRY(SourcesOf(statement, flags));
  copy.from = flags.Text("from");
  copy.parents = flags.Bool("parents").value_or(false);
  if (copy.from.find('$') != std::string::npos)
    return Invalid(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG "
        "from global scope as a workaround");
  return copy;
}

Result<What> MakeEntrypoint(const Statement& statement, const Flags&) {
  return Entrypoint{CommandOf(statement)};
}

Result<What> MakeEnv(const Statement& statement, const Flags&) {
  Env env;
  env.variables = TRY(Pairs(statement));
  return env;
}

Result<What> MakeExpose(const Statement& statement, const Flags&) {
  Expose expose{statement.words};
  std::sort(expose.ports.begin(), expose.ports.end());
  return expose;
}

bool IsStageName(std::string_view name) {
  if (name.empty() || name[0] < 'a' || name[0] > 'z')
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

Result<What> MakeFrom(const Statement& statement, const Flags& flags) {
  const Words& words = statement.words;
  bool named = words.size() == 3 && EqualsIgnoreCase(words[1], "as");
  if (words.size() != 1 && !named)
    return Invalid("FROM requires either one or three arguments");
  From from{.image = words[0], .name = {}, .platform = flags.Text("platform")};
  if (named) {
    from.name = ToLower(words[2]);
    if (!IsStageName(from.name))
      return Invalid(Cat("invalid name for build stage: \"", words[2].substr(0, 100),
                         "\", name can't start with a number or contain symbols"));
  }
  return from;
}

struct IntervalRow {
  std::string_view flag;
  std::chrono::nanoseconds Healthcheck::* member;
};
constexpr IntervalRow kIntervals[] = {{"interval", &Healthcheck::interval},
                                      {"timeout", &Healthcheck::timeout},
                                      {"start-period", &Healthcheck::start_period},
                                      {"start-interval", &Healthcheck::start_interval}};

Result<> ReadTimes(const Flags& flags, Healthcheck& check) {
  for (const IntervalRow& row : kIntervals) {
    std::string text = flags.Text(row.flag);
    if (text.empty())
      continue;
    auto value = TRY_CTX(Cat("--", row.flag), ParseGoDuration(text));
    if (value.count() != 0 && value < std::chrono::milliseconds(1))
      return Invalid(Cat("Interval \"", row.flag, "\" cannot be less than 1ms"));
    check.*row.member = value;
  }
  std::string retries = flags.Text("retries");
  if (retries.empty())
    return {};
  int64_t count = TRY_CTX("--retries", ParseInt(retries));
  if (count < 0)
    return Invalid(Cat("--retries cannot be negative (", count, ")"));
  if (count > INT32_MAX)
    return Invalid(Cat("--retries is out of range: ", count));
  check.retries = static_cast<int32_t>(count);
  return {};
}

Result<What> MakeHealthcheck(const Statement& statement, const Flags& flags) {
  Healthcheck check;
  std::string type = statement.words[0];
  for (char& c : type)
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (type == "NONE") {
    if (statement.words.size() > 1)
      return Invalid("HEALTHCHECK NONE takes no arguments");
    check.test = {"NONE"};
    return check;
  }
  if (type != "CMD")
    return Invalid(Cat("Unknown type \"", type.substr(0, 100), "\" in HEALTHCHECK (try CMD)"));
  if (statement.words.size() == 1)
    return Invalid("Missing command after HEALTHCHECK CMD");
  check.test = CommandOf(statement, 1).words;
  check.test.insert(check.test.begin(), statement.json ? "CMD" : "CMD-SHELL");
  TRY(ReadTimes(flags, check));
  return check;
}

Result<What> MakeLabel(const Statement& statement, const Flags&) {
  Label label;
  label.labels = TRY(Pairs(statement));
  return label;
}

Result<What> MakeMaintainer(const Statement& statement, const Flags&) {
  return Maintainer{statement.words[0]};
}

Result<What> MakeOnbuild(const Statement& statement, const Flags&) {
  const Statement& trigger = statement.trigger[0];
  if (trigger.keyword == Keyword::kFrom || trigger.keyword == Keyword::kMaintainer)
    return Invalid(Cat(KeywordName(trigger.keyword), " isn't allowed as an ONBUILD trigger"));
  Onbuild onbuild{trigger.text};
  for (const Heredoc& heredoc : statement.heredocs)
    Append(onbuild.expression, "\n", heredoc.content, heredoc.name);
  TRY(ParseTrigger(onbuild.expression));
  return onbuild;
}

Result<What> MakeRun(const Statement& statement, const Flags& flags) {
  Run run{.command = CommandOf(statement),
          .files = statement.heredocs,
          .mounts = flags.List("mount"),
          .network = flags.Text("network")};
  for (const std::string& mount : run.mounts)
    TRY(CheckMount(mount));
  constexpr std::string_view kNetworks[] = {"", "default", "none", "host"};
  if (std::find(std::begin(kNetworks), std::end(kNetworks), run.network) == std::end(kNetworks))
    return Invalid(Cat("invalid network mode \"", run.network.substr(0, 100),
                       "\": it is default, none or host"));
  return run;
}

Result<What> MakeShell(const Statement& statement, const Flags&) {
  if (!statement.json)
    return Invalid("SHELL requires the arguments to be in JSON form");
  return Shell{statement.words};
}

Result<What> MakeStopSignal(const Statement& statement, const Flags&) {
  return StopSignal{statement.words[0]};
}

Result<What> MakeUser(const Statement& statement, const Flags&) {
  return User{statement.words[0]};
}

Result<What> MakeVolume(const Statement& statement, const Flags&) {
  Volume volume;
  for (const std::string& word : statement.words) {
    volume.paths.emplace_back(Trim(word));
    if (volume.paths.back().empty())
      return Invalid("VOLUME specified can not be an empty string");
  }
  return volume;
}

Result<What> MakeWorkdir(const Statement& statement, const Flags&) {
  return Workdir{statement.words[0]};
}

using Kind = FlagRow::Kind;
constexpr FlagRow kAddFlags[] = {{"chown", Kind::kText},    {"chmod", Kind::kText},
                                 {"link", Kind::kBool},     {"keep-git-dir", Kind::kBool},
                                 {"checksum", Kind::kText}, {"unpack", Kind::kBool},
                                 {"exclude", Kind::kList}};
constexpr FlagRow kCopyFlags[] = {{"chown", Kind::kText},   {"chmod", Kind::kText},
                                  {"link", Kind::kBool},    {"from", Kind::kText},
                                  {"exclude", Kind::kList}, {"parents", Kind::kBool}};
constexpr FlagRow kFromFlags[] = {{"platform", Kind::kText}};
constexpr FlagRow kHealthcheckFlags[] = {{"interval", Kind::kText},
                                         {"timeout", Kind::kText},
                                         {"start-period", Kind::kText},
                                         {"start-interval", Kind::kText},
                                         {"retries", Kind::kText}};
constexpr FlagRow kRunFlags[] = {{"mount", Kind::kList},
                                 {"network", Kind::kText},
                                 {"security", Kind::kUnsupported},
                                 {"device", Kind::kUnsupported}};

struct Row {
  Maker make;
  Count count;
  std::span<const FlagRow> flags = {};
};

// In the order of Keyword, which is that of the variant.
// clang-format off
constexpr Row kRows[] = {
    {&MakeAdd,         Count::kTwo,  kAddFlags},
    {&MakeArg,         Count::kSome},
    {&MakeCmd,         Count::kAny},
    {&MakeCopy,        Count::kTwo,  kCopyFlags},
    {&MakeEntrypoint,  Count::kAny},
    {&MakeEnv,         Count::kSome},
    {&MakeExpose,      Count::kSome},
    {&MakeFrom,        Count::kAny,  kFromFlags},
    {&MakeHealthcheck, Count::kSome, kHealthcheckFlags},
    {&MakeLabel,       Count::kSome},
    {&MakeMaintainer,  Count::kOne},
    {&MakeOnbuild,     Count::kAny},
    {&MakeRun,         Count::kAny,  kRunFlags},
    {&MakeShell,       Count::kSome},
    {&MakeStopSignal,  Count::kOne},
    {&MakeUser,        Count::kOne},
    {&MakeVolume,      Count::kSome},
    {&MakeWorkdir,     Count::kOne},
};
// clang-format on
static_assert(std::size(kRows) == kKeywords && std::variant_size_v<What> == kKeywords);

Result<> CheckWords(const Statement& statement, Count count) {
  std::string_view name = KeywordName(statement.keyword);
  const Words& words = statement.words;
  if (count == Count::kOne && words.size() != 1)
    return Invalid(Cat(name, " requires exactly one argument"));
  bool trigger = statement.keyword == Keyword::kOnbuild && statement.trigger.empty();
  if ((count == Count::kSome && words.empty()) || trigger)
    return Invalid(Cat(name, " requires at least one argument"));
  if (count == Count::kTwo && words.size() < 2)
    return Invalid(Cat(name,
                       " requires at least two arguments, but only one was provided. "
                       "Destination could not be determined"));
  for (const std::string& word : words) {
    if (word.find('\0') != std::string::npos)
      return Invalid(Cat(name, ": an argument contains a NUL character"));
  }
  return {};
}

Result<What> Make(const Statement& statement) {
  const Row& row = kRows[static_cast<size_t>(statement.keyword)];
  TRY(CheckWords(statement, row.count));
  auto flags = TRY(Flags::Parse(KeywordName(statement.keyword), statement.flags, row.flags));
  return row.make(statement, flags);
}

}  // namespace

Result<Instruction> ParseInstruction(const Statement& statement) {
  auto what = Make(statement);
  if (!what)
    return std::unexpected(AtLine(std::move(what).error(), statement.first_line));
  return Instruction{
      .what = *std::move(what), .text = statement.text, .line = statement.first_line};
}

Result<Instruction> ParseTrigger(std::string_view expression) {
  // The escape character is the default one: the image does not say which the Dockerfile had.
  auto dockerfile = TRY_CTX("ONBUILD", ParseDockerfile(expression));
  if (dockerfile.statements.size() != 1)
    return Invalid("onbuild trigger should be a single expression");
  const Statement& statement = dockerfile.statements[0];
  constexpr Keyword kForbidden[] = {Keyword::kOnbuild, Keyword::kFrom, Keyword::kMaintainer};
  if (std::find(std::begin(kForbidden), std::end(kForbidden), statement.keyword) !=
      std::end(kForbidden))
    return Invalid(Cat(KeywordName(statement.keyword), " isn't allowed as an ONBUILD trigger"));
  auto what = TRY_CTX("ONBUILD", Make(statement));
  return Instruction{.what = std::move(what), .text = statement.text, .line = 0};
}

}  // namespace wherry::build
