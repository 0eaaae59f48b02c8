#include "engine/build/arguments.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "core/base/json.h"
#include "core/base/json_stream.h"
#include "core/base/text.h"
#include "engine/build/line_reader.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

enum class JsonForm : uint8_t { kNone, kStrings, kOther };

// Whether `text` is a JSON list, and one of strings alone, which go to `words`. Not JsonDocument:
// that takes no "\u0000", which would have to be told from what is no JSON.
JsonForm ReadJson(std::string_view text, std::vector<std::string>& words) {
  if (!text.starts_with('['))
    return JsonForm::kNone;
  using Token = JsonStream::Token;
  TextSource source(text);
  JsonStream stream(source, kMaxDockerfileBytes);
  (void)stream.Next();  // the '['
  size_t depth = 1;
  bool strings = true;
  while (depth > 0) {
    auto token = stream.Next();
    if (!token || *token == Token::kDone)
      return JsonForm::kNone;
    strings = strings && (*token == Token::kString || *token == Token::kEnd);
    if (*token == Token::kString && strings)
      words.emplace_back(stream.text());
    depth += *token == Token::kObject || *token == Token::kArray ? 1 : 0;
    depth -= *token == Token::kEnd ? 1 : 0;
  }
  auto after = stream.Next();
  if (!after || *after != Token::kDone)
    return JsonForm::kNone;
  return strings ? JsonForm::kStrings : JsonForm::kOther;
}

// True when the JSON form was taken.
Result<bool> SplitJson(std::string_view rest, Statement& statement) {
  std::vector<std::string> words;
  JsonForm form = ReadJson(rest, words);
  if (form == JsonForm::kOther)
    return Invalid({"when using JSON array syntax, arrays must be comprised of strings only"});
  statement.json = form == JsonForm::kStrings;
  if (statement.json)
    std::move(words.begin(), words.end(), std::back_inserter(statement.words));
  return statement.json;
}

// Words at blanks outside of quotes; quotes and escapes stay.
std::vector<std::string> QuotedWords(std::string_view rest, char escape) {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  for (size_t i = 0; i < rest.size(); ++i) {
    char c = rest[i];
    if (quote == '\0' && IsBlank(c)) {
      if (!word.empty())
        words.push_back(std::move(word));
      word.clear();
      continue;
    }
    if (c == escape && quote != '\'') {
      if (i + 1 == rest.size())
        break;  // at the end it is left out
      word.push_back(c);
      c = rest[++i];
    } else if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    }
    word.push_back(c);
  }
  if (!word.empty())
    words.push_back(std::move(word));
  return words;
}

// One flag at the front of `rest`, unquoted and unescaped.
std::string TakeFlag(std::string_view& rest, char escape) {
  std::string word;
  char quote = '\0';
  size_t i = 0;
  for (; i < rest.size() && (quote != '\0' || !IsBlank(rest[i])); ++i) {
    char c = rest[i];
    if (c == quote || (quote == '\0' && (c == '\'' || c == '"'))) {
      quote = c == quote ? '\0' : c;
      continue;
    }
    if (c == escape) {
      if (++i == rest.size())
        break;
      c = rest[i];
    }
    word.push_back(c);
  }
  rest.remove_prefix(i);
  return word;
}

}  // namespace

std::vector<std::string> TakeFlags(std::string_view& rest, char escape) {
  std::vector<std::string> flags;
  for (;;) {
    rest = Trim(rest);
    if (!rest.starts_with("--"))
      return flags;
    std::string flag = TakeFlag(rest, escape);
    if (flag == "--")
      return flags;
    flags.push_back(std::move(flag));
  }
}

Result<> SplitText(std::string_view rest, char, Statement& statement) {
  if (!rest.empty())
    statement.words.emplace_back(rest);
  return {};
}

Result<> SplitWords(std::string_view rest, char, Statement& statement) {
  while (!rest.empty()) {
    const char* end = std::find_if(rest.begin(), rest.end(), &IsBlank);
    statement.words.emplace_back(rest.begin(), end);
    rest = Trim(rest.substr(static_cast<size_t>(end - rest.begin())));
  }
  return {};
}

Result<> SplitQuotedWords(std::string_view rest, char escape, Statement& statement) {
  statement.words = QuotedWords(rest, escape);
  return {};
}

Result<> SplitPairs(std::string_view rest, char escape, Statement& statement) {
  std::vector<std::string> words = QuotedWords(rest, escape);
  if (words.empty())
    return {};
  if (words[0].find('=') == std::string::npos) {  // "ENV name the value"
    const char* end = std::find_if(rest.begin(), rest.end(), &IsBlank);
    if (end == rest.end())
      return Invalid({KeywordName(statement.keyword), " must have two arguments"});
    size_t name = static_cast<size_t>(end - rest.begin());
    statement.words = {std::string(rest.substr(0, name)), std::string(Trim(rest.substr(name))), ""};
    return {};
  }
  for (const std::string& word : words) {
    auto pair = SplitFirst(word, '=');
    if (!pair) {
      std::string shown;
      AppendJsonString(shown, std::string_view(word).substr(0, 100));
      return Invalid(
          {"Syntax error - can't find = in ", shown, ". Must be of the form: name=value"});
    }
    statement.words.emplace_back(pair->head);
    statement.words.emplace_back(pair->tail);
    statement.words.emplace_back("=");
  }
  return {};
}

Result<> SplitJsonOrText(std::string_view rest, char escape, Statement& statement) {
  if (TRY(SplitJson(rest, statement)))
    return {};
  return SplitText(rest, escape, statement);
}

Result<> SplitJsonOrWords(std::string_view rest, char escape, Statement& statement) {
  if (TRY(SplitJson(rest, statement)))
    return {};
  return SplitWords(rest, escape, statement);
}

Result<> SplitHealthcheck(std::string_view rest, char escape, Statement& statement) {
  const char* end = std::find_if(rest.begin(), rest.end(), &IsBlank);
  if (rest.empty())
    return {};
  statement.words.emplace_back(rest.begin(), end);
  return SplitJsonOrText(Trim(rest.substr(statement.words[0].size())), escape, statement);
}

}  // namespace wherry::build
