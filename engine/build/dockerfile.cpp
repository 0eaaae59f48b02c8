#include "engine/build/dockerfile.h"

#include <algorithm>

#include "core/base/text.h"
#include "engine/build/arguments.h"
#include "engine/build/line_reader.h"
#include "engine/build/problem.h"
#include "engine/build/word.h"

namespace wherry::build {

namespace {

using Splitter = Result<> (*)(std::string_view rest, char escape, Statement& statement);

Result<> SplitTrigger(std::string_view rest, char escape, Statement& statement);

struct Row {
  std::string_view name;
  Splitter split;
  bool heredocs;
};

// In the order of Keyword.
// clang-format off
constexpr Row kRows[] = {
    {"ADD",         &SplitJsonOrWords,   true},
    {"ARG",         &SplitQuotedWords,   false},
    {"CMD",         &SplitJsonOrText,    false},
    {"COPY",        &SplitJsonOrWords,   true},
    {"ENTRYPOINT",  &SplitJsonOrText,    false},
    {"ENV",         &SplitPairs,         false},
    {"EXPOSE",      &SplitWords,         false},
    {"FROM",        &SplitWords,         false},
    {"HEALTHCHECK", &SplitHealthcheck,   false},
    {"LABEL",       &SplitPairs,         false},
    {"MAINTAINER",  &SplitText,          false},
    {"ONBUILD",     &SplitTrigger,       false},
    {"RUN",         &SplitJsonOrText,    true},
    {"SHELL",       &SplitJsonOrText,    false},
    {"STOPSIGNAL",  &SplitText,          false},
    {"USER",        &SplitText,          false},
    {"VOLUME",      &SplitJsonOrWords,   false},
    {"WORKDIR",     &SplitText,          false},
};
// clang-format on
static_assert(std::size(kRows) == kKeywords);

const Row& RowOf(Keyword keyword) {
  return kRows[static_cast<size_t>(keyword)];
}

// "COPY --from=x a b" into keyword, flags and words.
Result<Statement> ParseLine(std::string_view line, char escape) {
  line = Trim(line);
  const char* end = std::find_if(line.begin(), line.end(), &IsBlank);
  std::string_view name = line.substr(0, static_cast<size_t>(end - line.begin()));
  const Row* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& candidate) {
    return EqualsIgnoreCase(candidate.name, name);
  });
  if (row == std::end(kRows))
    return Invalid({"unknown instruction: ", Shown(name)});
  Statement statement;
  statement.keyword = static_cast<Keyword>(row - std::begin(kRows));
  statement.text = line;
  std::string_view rest = Trim(line.substr(name.size()));
  statement.flags = TakeFlags(rest, escape);
  TRY(row->split(Trim(rest), escape, statement));
  if (statement.words.size() > kMaxArguments || statement.flags.size() > kMaxArguments)
    return Invalid({row->name, " has more than ", std::to_string(kMaxArguments), " arguments"});
  return statement;
}

// One level only, so this is no recursion to bound.
Result<> SplitTrigger(std::string_view rest, char escape, Statement& statement) {
  if (rest.empty())
    return {};
  if (ToLower(rest.substr(0, 7)) == "onbuild" && (rest.size() == 7 || IsBlank(rest[7])))
    return Invalid({"Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"});
  statement.trigger.push_back(TRY(ParseLine(rest, escape)));
  return {};
}

bool TakesHeredocs(const Statement& statement) {
  const Statement& inner = statement.trigger.empty() ? statement : statement.trigger[0];
  return RowOf(inner.keyword).heredocs && !inner.json &&
         statement.text.find("<<") != std::string::npos;
}

Result<> ReadHeredoc(LineReader& reader, Heredoc& heredoc) {
  while (auto raw = reader.Raw()) {
    std::string_view line = *raw;
    while (line.ends_with('\n') || line.ends_with('\r'))
      line.remove_suffix(1);
    while (heredoc.chomp && line.starts_with('\t'))
      line.remove_prefix(1);
    if (line == heredoc.name)
      return {};
    heredoc.content += *raw;
  }
  return Invalid({"unterminated heredoc: no line \"", heredoc.name, "\" follows"});
}

Result<> ReadHeredocs(LineReader& reader, Statement& statement) {
  WordRules rules{.keep_quotes = true, .keep_escapes = true, .keep_unset = true};
  auto words = ExpandWords(statement.text, Variables(), rules);
  if (!words)
    return {};  // quotes that do not match here are a matter of the shell
  for (const std::string& word : *words) {
    auto heredoc = TRY(ParseHeredocWord(word));
    if (!heredoc)
      continue;
    if (statement.heredocs.size() == kMaxHeredocs)
      return Invalid({"more than ", std::to_string(kMaxHeredocs), " heredocs in one instruction"});
    TRY(ReadHeredoc(reader, *heredoc));
    statement.heredocs.push_back(std::move(*heredoc));
  }
  return {};
}

Result<> CheckText(std::string_view text) {
  if (text.empty())
    return Invalid({"the Dockerfile cannot be empty"});
  if (text.size() > kMaxDockerfileBytes)
    return Invalid(
        {"the Dockerfile is larger than ", std::to_string(kMaxDockerfileBytes), " bytes"});
  int line = 0;
  for (std::string_view part : Split(text, '\n')) {
    ++line;
    if (part.size() > kMaxLineBytes)
      return std::unexpected(
          AtLine(Error(Errc::kInvalid,
                       Cat("dockerfile line greater than max allowed size of ", kMaxLineBytes)),
                 line));
    if (part.find('\0') != std::string_view::npos)
      return std::unexpected(
          AtLine(Error(Errc::kInvalid, "the line contains a NUL character"), line));
  }
  return {};
}

// The next statement; false at the end.
Result<bool> ReadStatement(LineReader& reader, Dockerfile& dockerfile) {
  auto line = TRY(reader.Next());
  if (!line)
    return false;
  if (dockerfile.statements.size() == kMaxStatements)
    return Invalid({"more than ", std::to_string(kMaxStatements), " instructions"});
  Statement statement = TRY(ParseLine(*line, reader.escape()));
  statement.first_line = reader.first_line();
  if (TakesHeredocs(statement))
    TRY(ReadHeredocs(reader, statement));
  statement.last_line = reader.line();
  for (Statement& trigger : statement.trigger) {
    trigger.first_line = statement.first_line;
    trigger.last_line = statement.last_line;
  }
  dockerfile.statements.push_back(std::move(statement));
  return true;
}

}  // namespace

std::string_view KeywordName(Keyword keyword) {
  return RowOf(keyword).name;
}

Error AtLine(Error error, int line) {
  return std::move(error).Wrap(Cat("dockerfile parse error on line ", line));
}

std::string Heredoc::Text() const {
  if (!chomp)
    return content;
  std::string text;
  bool leading = true;
  for (char c : content) {
    leading = leading && c == '\t';
    if (!leading)
      text.push_back(c);
    leading = leading || c == '\n';
  }
  return text;
}

Result<std::optional<Heredoc>> ParseHeredocWord(std::string_view word) {
  size_t start = word.find_first_not_of("0123456789");  // the file descriptor does not matter here
  if (start == std::string_view::npos || !word.substr(start).starts_with("<<"))
    return std::nullopt;
  word.remove_prefix(start + 2);
  Heredoc heredoc;
  heredoc.chomp = word.starts_with('-');
  if (heredoc.chomp)
    word.remove_prefix(1);
  word = Trim(word);
  if (word.empty() || word.find('<') != std::string_view::npos)
    return std::nullopt;
  auto words = TRY(ExpandWords(word, Variables(), {.keep_unset = true}));
  if (words.size() != 1)
    return std::nullopt;
  auto raw = TRY(ExpandWords(word, Variables(), {.keep_quotes = true, .keep_unset = true}));
  auto quotes = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return c == '\'' || c == '"'; });
  };
  heredoc.name = std::move(words[0]);
  heredoc.expand = raw.size() == 1 && quotes(heredoc.name) == quotes(raw[0]);
  return heredoc;
}

Result<Dockerfile> ParseDockerfile(std::string_view text) {
  TRY(CheckText(text));
  Dockerfile dockerfile;
  LineReader reader(text);
  for (;;) {
    auto read = ReadStatement(reader, dockerfile);
    if (!read)
      return std::unexpected(AtLine(std::move(read).error(), std::max(reader.first_line(), 1)));
    if (!*read)
      break;
  }
  if (dockerfile.statements.empty())
    return Invalid({"file with no instructions"});
  dockerfile.escape = reader.escape();
  dockerfile.syntax = reader.syntax();
  return dockerfile;
}

}  // namespace wherry::build
