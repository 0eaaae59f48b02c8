#include "engine/build/word.h"

#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/build/line_reader.h"
#include "engine/build/problem.h"
#include "engine/build/shell_pattern.h"

namespace wherry::build {

namespace {

constexpr int kEnd = -1;

bool IsNameStart(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

bool IsDigit(int c) {
  return c >= '0' && c <= '9';
}

// What has been read so far: the text, and the same in words.
struct Sink {
  std::string text;
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;

  void Raw(std::string_view piece) {
    text += piece;
    word += piece;
    in_word = true;
  }
  void Split(std::string_view piece) {
    text += piece;
    for (char c : piece) {
      if (!IsBlank(c) && c != '\n') {
        word.push_back(c);
        in_word = true;
      } else if (in_word && !word.empty()) {
        FinishWord();
      }
    }
  }
  void FinishWord() {
    if (!word.empty())
      words.push_back(std::move(word));
    word.clear();
    in_word = false;
  }
};

class Expander {
 public:
  Expander(std::string_view text, const Variables& variables, const WordRules& rules)
      : text_(text), variables_(variables), rules_(rules), keep_escapes_(rules.keep_escapes) {}

  Result<Sink> Read(int stop);

 private:
  int Peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : kEnd; }
  int Take() {
    int c = Peek();
    at_ += c == kEnd ? 0 : 1;
    return c;
  }
  Result<> ReadPiece(Sink& out);
  Result<std::string> SingleQuoted();
  Result<std::string> DoubleQuoted();
  void Escaped(Sink& out);
  std::string Heredoc();
  Result<std::string> Dollar();
  Result<std::string> Braced();
  Result<std::string> Substitution(const std::string& name, int op, bool empty_is_unset);
  Result<std::string> Replacement(const std::string& name);
  Result<std::string> Until(char stop, bool keep_escapes);
  std::string_view Name();

  std::string_view text_;
  size_t at_ = 0;
  const Variables& variables_;
  const WordRules& rules_;
  bool keep_escapes_;
  int depth_ = 0;
  size_t added_ = 0;  // by variables
  PatternBudget budget_;
};

std::unexpected<Error> SyntaxError(std::string_view what) {
  return Invalid({"syntax error: ", what});
}

std::unexpected<Error> Unmatched(std::string_view what) {
  return Invalid({"unexpected end of statement while looking for matching ", what});
}

Result<Sink> Expander::Read(int stop) {
  Sink out;
  while (Peek() != kEnd && Peek() != stop)
    TRY(ReadPiece(out));
  if (Take() != stop)
    return Unmatched(std::string_view(stop == '}' ? "}" : "/"));
  out.FinishWord();
  return out;
}

Result<> Expander::ReadPiece(Sink& out) {
  int c = Peek();
  if (c == '$') {
    out.Split(TRY(Dollar()));
  } else if (c == '\'' && !rules_.plain_quotes) {
    out.Raw(TRY(SingleQuoted()));
  } else if (c == '"' && !rules_.plain_quotes) {
    out.Raw(TRY(DoubleQuoted()));
  } else if (c == '<') {
    out.Raw(Heredoc());
  } else if (c == rules_.escape) {
    Escaped(out);
  } else {
    out.Split(text_.substr(at_++, 1));
  }
  return {};
}

void Expander::Escaped(Sink& out) {
  if (keep_escapes_)
    out.Raw(text_.substr(at_, 1));
  ++at_;
  if (Peek() != kEnd)  // an escape at the end means nothing
    out.Raw(text_.substr(at_++, 1));
}

// "<<" and the blanks behind it belong to the delimiter's word.
std::string Expander::Heredoc() {
  size_t start = at_++;
  if (Peek() == '<') {
    ++at_;
    while (Peek() == ' ' || Peek() == '\t' || Peek() == '\r')
      ++at_;
  }
  return std::string(text_.substr(start, at_ - start));
}

Result<std::string> Expander::SingleQuoted() {
  size_t end = text_.find('\'', at_ + 1);
  if (end == std::string_view::npos)
    return Unmatched("single-quote");
  std::string_view quoted = text_.substr(at_, end + 1 - at_);
  at_ = end + 1;
  return std::string(rules_.keep_quotes ? quoted : quoted.substr(1, quoted.size() - 2));
}

Result<std::string> Expander::DoubleQuoted() {
  std::string out;
  if (rules_.keep_quotes)
    out.push_back('"');
  ++at_;
  while (Peek() != '"') {
    if (Peek() == kEnd)
      return Unmatched("double-quote");
    if (Peek() == '$') {
      out += TRY(Dollar());
      continue;
    }
    int c = Take();
    if (c == rules_.escape) {
      if (keep_escapes_)
        out.push_back(rules_.escape);
      if (Peek() == kEnd)
        continue;
      // Others stay as they are, with their escape.
      if (Peek() == '"' || Peek() == '$' || Peek() == rules_.escape)
        c = Take();
    }
    out.push_back(static_cast<char>(c));
  }
  ++at_;
  if (rules_.keep_quotes)
    out.push_back('"');
  return out;
}

// A name, a number, or one of the shell's special parameters, which never are set here.
std::string_view Expander::Name() {
  size_t start = at_;
  if (IsDigit(Peek())) {
    while (IsDigit(Peek()))
      ++at_;
  } else if (Peek() != kEnd && std::string_view("@*#?-$!").find(static_cast<char>(Peek())) !=
                                   std::string_view::npos) {
    ++at_;
  } else {
    while (IsNameStart(Peek()) || (at_ > start && IsDigit(Peek())))
      ++at_;
  }
  return text_.substr(start, at_ - start);
}

Result<std::string> Expander::Dollar() {
  ++at_;
  std::string out;
  if (Peek() == '{') {
    ++at_;
    out = TRY(Braced());
  } else {
    std::string_view name = Name();
    const std::string* value = name.empty() ? nullptr : variables_.Find(name);
    if (value != nullptr)
      out = *value;
    else if (name.empty() || rules_.keep_unset)
      out = Cat("$", name);
  }
  added_ += out.size();
  if (added_ > kMaxExpandedBytes)
    return Invalid({"its variables add more than ", std::to_string(kMaxExpandedBytes), " bytes"});
  return out;
}

Result<std::string> Expander::Braced() {
  if (Peek() == kEnd)
    return SyntaxError("missing '}'");
  if (Peek() == '{' || Peek() == '}' || Peek() == ':')
    return SyntaxError("bad substitution");
  std::string name(Name());
  int op = Take();
  if (op == '}') {
    const std::string* value = variables_.Find(name);
    if (value == nullptr)
      return rules_.keep_unset ? Cat("${", name, "}") : std::string();
    return *value;
  }
  if (op == '/')
    return Replacement(name);
  bool empty_is_unset = op == ':';
  if (empty_is_unset)
    op = Take();
  if (op == kEnd)
    return SyntaxError("missing '}'");
  std::string_view operators = empty_is_unset ? "-+?" : "-+?#%";
  auto modifier = static_cast<char>(op);
  if (operators.find(modifier) == std::string_view::npos)
    return Invalid({"unsupported modifier (", empty_is_unset ? ":" : "",
                    std::string_view(&modifier, 1), ") in substitution"});
  return Substitution(name, op, empty_is_unset);
}

// The text up to `stop`, expanded in turn.
Result<std::string> Expander::Until(char stop, bool keep_escapes) {
  if (depth_ == kMaxNesting)
    return Invalid({"substitutions are nested deeper than ", std::to_string(kMaxNesting)});
  ++depth_;
  bool outer = std::exchange(keep_escapes_, keep_escapes);
  auto read = Read(stop);
  keep_escapes_ = outer;
  --depth_;
  if (!read && Peek() == kEnd)
    return SyntaxError(stop == '}' ? "missing '}'" : "missing '/' in ${}");
  return TRY(std::move(read)).text;
}

Result<std::string> Expander::Substitution(const std::string& name, int op, bool empty_is_unset) {
  bool trims = op == '#' || op == '%';
  std::string word = TRY(Until('}', trims));
  const std::string* value = variables_.Find(name);
  auto operation = static_cast<char>(op);
  if (value == nullptr && rules_.keep_unset)
    return Cat("${", name, empty_is_unset ? ":" : "", operation, word, "}");
  bool missing = value == nullptr || (empty_is_unset && value->empty());
  if (op == '-')
    return missing ? word : *value;
  if (op == '+')
    return missing ? std::string() : word;
  if (op == '?') {
    if (!missing)
      return *value;
    if (word.empty())
      word = Cat("is not allowed to be ", value == nullptr ? "unset" : "empty");
    return Invalid({name, ": ", word});
  }
  bool twice = word.starts_with(operation);
  auto extent = twice ? Extent::kLongest : Extent::kShortest;
  std::string_view pattern = std::string_view(word).substr(twice ? 1 : 0);
  std::string_view text = value != nullptr ? *value : std::string_view();
  return op == '#' ? TrimFront(pattern, text, extent, budget_)
                   : TrimBack(pattern, text, extent, budget_);
}

Result<std::string> Expander::Replacement(const std::string& name) {
  bool all = Peek() == '/';
  at_ += all ? 1 : 0;
  std::string pattern = TRY(Until('/', true));
  std::string replacement = TRY(Until('}', true));
  const std::string* value = variables_.Find(name);
  if (value == nullptr && rules_.keep_unset)
    return Cat("${", name, "/", pattern, "/", replacement, "}");
  std::string_view text = value != nullptr ? *value : std::string_view();
  Replacing replacing{.with = replacement,
                      .occurrence = all ? Occurrence::kAll : Occurrence::kFirst,
                      .most = kMaxExpandedBytes};
  return ReplacePattern(pattern, text, replacing, budget_);
}

Result<Sink> Expand(std::string_view text, const Variables& variables, const WordRules& rules) {
  auto out = Expander(text, variables, rules).Read(kEnd);
  if (out)
    return out;
  std::string shown;
  AppendJsonString(shown, text.substr(0, 100));
  return std::unexpected(std::move(out).error().Wrap(Cat("failed to process ", shown)));
}

}  // namespace

void Variables::Set(std::string_view name, std::string_view value) {
  values_[std::string(name)] = value;
}

const std::string* Variables::Find(std::string_view name) const {
  auto at = values_.find(std::string(name));
  return at == values_.end() ? nullptr : &at->second;
}

Result<std::string> ExpandWord(std::string_view text, const Variables& variables,
                               const WordRules& rules) {
  return TRY(Expand(text, variables, rules)).text;
}

Result<std::vector<std::string>> ExpandWords(std::string_view text, const Variables& variables,
                                             const WordRules& rules) {
  return TRY(Expand(text, variables, rules)).words;
}

}  // namespace wherry::build
