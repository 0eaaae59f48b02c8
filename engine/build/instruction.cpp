#include "engine/build/instruction.h"

#include <algorithm>
#include <iterator>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/build/flags.h"
#include "engine/build/problem.h"
#include "engine/build/run_mount.h"

namespace wherry::build {

namespace {

using Words = std::vector<std::string>;
using What = decltype(Instruction::what);
using Maker = Result<> (*)(const Statement& statement, const Flags& flags, What& what);

enum class Count : uint8_t { kAny, kOne, kSome, kTwo };

CommandLine CommandOf(const Statement& statement, size_t first = 0) {
  return {Words(statement.words.begin() + static_cast<ptrdiff_t>(first), statement.words.end()),
          !statement.json};
}

Result<std::vector<KeyValue>> Pairs(const Statement& statement) {
  std::vector<KeyValue> pairs;
  for (size_t i = 0; i + 2 < statement.words.size(); i += 3) {
    if (statement.words[i].empty())
      return Invalid({KeywordName(statement.keyword), " names can not be blank"});
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
      return Invalid({name, " cannot accept a heredoc as a destination"});
    if (last) {
      sources.destination = word;
    } else if (!heredoc) {
      sources.paths.push_back(word);
    } else {
      while (next < statement.heredocs.size() && statement.heredocs[next].name != heredoc->name)
        ++next;
      if (next == statement.heredocs.size())
        return Invalid({name, ": no lines for the heredoc ", heredoc->name});
      if (heredoc->name == "." || heredoc->name == ".." ||
          heredoc->name.find('/') != std::string::npos)
        return Invalid({name, ": the heredoc ", heredoc->name, " cannot be the name of a file"});
      sources.files.push_back(statement.heredocs[next++]);
    }
  }
  sources.chown = flags.Text("chown");
  sources.chmod = flags.Text("chmod");
  sources.exclude = flags.List("exclude");
  sources.link = flags.Bool("link").value_or(false);
  return sources;
}

Result<> MakeAdd(const Statement& statement, const Flags& flags, What& what) {
  auto& add = what.emplace<Add>();
  add.sources = TRY(SourcesOf(statement, flags));
  add.checksum = flags.Text("checksum");
  add.keep_git_dir = flags.Bool("keep-git-dir");
  add.unpack = flags.Bool("unpack");
  return {};
}

Result<> MakeArg(const Statement& statement, const Flags&, What& what) {
  auto& arg = what.emplace<Arg>();
  for (const std::string& word : statement.words) {
    auto pair = SplitFirst(word, '=');
    if (pair && pair->head.empty())
      return Invalid({"ARG names can not be blank"});
    Arg::Definition definition{.name = word, .value = {}};
    if (pair) {
      definition.name = pair->head;
      definition.value = std::string(pair->tail);
    }
    arg.definitions.push_back(std::move(definition));
  }
  return {};
}

Result<> MakeCmd(const Statement& statement, const Flags&, What& what) {
  what.emplace<Cmd>().command = CommandOf(statement);
  return {};
}

Result<> MakeCopy(const Statement& statement, const Flags& flags, What& what) {
  auto& copy = what.emplace<Copy>();
  copy.sources = TRY(SourcesOf(statement, flags));
  copy.from = flags.Text("from");
  copy.parents = flags.Bool("parents").value_or(false);
  if (copy.from.find('$') != std::string::npos)
    return Invalid(
        {"variable expansion is not supported for --from, define a new stage with FROM using ARG "
         "from global scope as a workaround"});
  return {};
}

Result<> MakeEntrypoint(const Statement& statement, const Flags&, What& what) {
  what.emplace<Entrypoint>().command = CommandOf(statement);
  return {};
}

Result<> MakeEnv(const Statement& statement, const Flags&, What& what) {
  auto& env = what.emplace<Env>();
  env.variables = TRY(Pairs(statement));
  return {};
}

Result<> MakeExpose(const Statement& statement, const Flags&, What& what) {
  auto& expose = what.emplace<Expose>();
  expose.ports = statement.words;
  std::sort(expose.ports.begin(), expose.ports.end());
  return {};
}

bool IsStageName(std::string_view name) {
  if (name.empty() || name[0] < 'a' || name[0] > 'z')
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

Result<> MakeFrom(const Statement& statement, const Flags& flags, What& what) {
  const Words& words = statement.words;
  bool named = words.size() == 3 && EqualsIgnoreCase(words[1], "as");
  if (words.size() != 1 && !named)
    return Invalid({"FROM requires either one or three arguments"});
  auto& from = what.emplace<From>();
  from.image = words[0];
  from.platform = flags.Text("platform");
  if (named) {
    from.name = ToLower(words[2]);
    if (!IsStageName(from.name))
      return Invalid({"invalid name for build stage: \"", Shown(words[2]),
                      "\", name can't start with a number or contain symbols"});
  }
  return {};
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
      return Invalid({"Interval \"", row.flag, "\" cannot be less than 1ms"});
    check.*row.member = value;
  }
  std::string retries = flags.Text("retries");
  if (retries.empty())
    return {};
  int64_t count = TRY_CTX("--retries", ParseInt(retries));
  if (count < 0)
    return Invalid({"--retries cannot be negative (", std::to_string(count), ")"});
  if (count > INT32_MAX)
    return Invalid({"--retries is out of range: ", std::to_string(count)});
  check.retries = static_cast<int32_t>(count);
  return {};
}

Result<> MakeHealthcheck(const Statement& statement, const Flags& flags, What& what) {
  auto& check = what.emplace<Healthcheck>();
  std::string type = statement.words[0];
  for (char& c : type)
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (type == "NONE") {
    if (statement.words.size() > 1)
      return Invalid({"HEALTHCHECK NONE takes no arguments"});
    check.test = {"NONE"};
    return {};
  }
  if (type != "CMD")
    return Invalid({"Unknown type \"", Shown(type), "\" in HEALTHCHECK (try CMD)"});
  if (statement.words.size() == 1)
    return Invalid({"Missing command after HEALTHCHECK CMD"});
  check.test = CommandOf(statement, 1).words;
  check.test.insert(check.test.begin(), statement.json ? "CMD" : "CMD-SHELL");
  TRY(ReadTimes(flags, check));
  return {};
}

Result<> MakeLabel(const Statement& statement, const Flags&, What& what) {
  auto& label = what.emplace<Label>();
  label.labels = TRY(Pairs(statement));
  return {};
}

Result<> MakeMaintainer(const Statement& statement, const Flags&, What& what) {
  what.emplace<Maintainer>().name = statement.words[0];
  return {};
}

Result<> CheckTrigger(const Statement& trigger) {
  if (trigger.keyword == Keyword::kFrom || trigger.keyword == Keyword::kMaintainer ||
      trigger.keyword == Keyword::kOnbuild)
    return Invalid({KeywordName(trigger.keyword), " isn't allowed as an ONBUILD trigger"});
  return {};
}

Result<> MakeOnbuild(const Statement& statement, const Flags&, What& what) {
  const Statement& trigger = statement.trigger[0];
  TRY(CheckTrigger(trigger));
  auto& onbuild = what.emplace<Onbuild>();
  onbuild.expression = trigger.text;
  for (const Heredoc& heredoc : statement.heredocs)
    Append(onbuild.expression, "\n", heredoc.content, heredoc.name);
  TRY(ParseTrigger(onbuild.expression));
  return {};
}

Result<> MakeRun(const Statement& statement, const Flags& flags, What& what) {
  auto& run = what.emplace<Run>();
  run.command = CommandOf(statement);
  run.files = statement.heredocs;
  run.mounts = flags.List("mount");
  run.network = flags.Text("network");
  for (const std::string& mount : run.mounts)
    TRY(CheckMount(mount));
  constexpr std::string_view kNetworks[] = {"", "default", "none", "host"};
  if (!IndexOf(kNetworks, run.network))
    return Invalid(
        {"invalid network mode \"", Shown(run.network), "\": it is default, none or host"});
  return {};
}

Result<> MakeShell(const Statement& statement, const Flags&, What& what) {
  if (!statement.json)
    return Invalid({"SHELL requires the arguments to be in JSON form"});
  what.emplace<Shell>().words = statement.words;
  return {};
}

Result<> MakeStopSignal(const Statement& statement, const Flags&, What& what) {
  what.emplace<StopSignal>().signal = statement.words[0];
  return {};
}

Result<> MakeUser(const Statement& statement, const Flags&, What& what) {
  what.emplace<User>().user = statement.words[0];
  return {};
}

Result<> MakeVolume(const Statement& statement, const Flags&, What& what) {
  auto& volume = what.emplace<Volume>();
  for (const std::string& word : statement.words) {
    volume.paths.emplace_back(Trim(word));
    if (volume.paths.back().empty())
      return Invalid({"VOLUME specified can not be an empty string"});
  }
  return {};
}

Result<> MakeWorkdir(const Statement& statement, const Flags&, What& what) {
  what.emplace<Workdir>().path = statement.words[0];
  return {};
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
    return Invalid({name, " requires exactly one argument"});
  bool trigger = statement.keyword == Keyword::kOnbuild && statement.trigger.empty();
  if ((count == Count::kSome && words.empty()) || trigger)
    return Invalid({name, " requires at least one argument"});
  if (count == Count::kTwo && words.size() < 2)
    return Invalid({name,
                    " requires at least two arguments, but only one was provided. "
                    "Destination could not be determined"});
  for (const std::string& word : words) {
    if (word.find('\0') != std::string::npos)
      return Invalid({name, ": an argument contains a NUL character"});
  }
  return {};
}

Result<> Make(const Statement& statement, What& what) {
  const Row& row = kRows[static_cast<size_t>(statement.keyword)];
  TRY(CheckWords(statement, row.count));
  auto flags = TRY(Flags::Parse(KeywordName(statement.keyword), statement.flags, row.flags));
  return row.make(statement, flags, what);
}

}  // namespace

Result<Instruction> ParseInstruction(const Statement& statement) {
  Instruction instruction;
  instruction.text = statement.text;
  instruction.line = statement.first_line;
  auto made = Make(statement, instruction.what);
  if (!made)
    return std::unexpected(AtLine(std::move(made).error(), statement.first_line));
  return instruction;
}

Result<Instruction> ParseTrigger(std::string_view expression) {
  // The escape character is the default one: the image does not say which the Dockerfile had.
  auto dockerfile = TRY_CTX("ONBUILD", ParseDockerfile(expression));
  if (dockerfile.statements.size() != 1)
    return Invalid({"onbuild trigger should be a single expression"});
  const Statement& statement = dockerfile.statements[0];
  TRY(CheckTrigger(statement));
  Instruction instruction;
  instruction.text = statement.text;
  TRY_CTX("ONBUILD", Make(statement, instruction.what));
  return instruction;
}

}  // namespace wherry::build
