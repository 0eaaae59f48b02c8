#include "engine/compose/interpolate.h"

#include "core/base/text.h"

namespace wherry::compose {

namespace {

constexpr int kMaxNesting = 20;

bool StartsName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool InName(char c) {
  return StartsName(c) || (c >= '0' && c <= '9');
}

std::unexpected<Error> Malformed(std::string_view text) {
  return Fail(Errc::kInvalid, Cat("invalid variable in \"", text.substr(0, 100),
                                  "\"; a $ that is meant as itself is written $$"));
}

class Expander {
 public:
  Expander(const Environment& environment, std::vector<std::string>& unset)
      : environment_(environment), unset_(unset) {}

  Result<std::string> Run(std::string_view text, int depth) {
    if (depth > kMaxNesting)
      return Fail(Errc::kInvalid, "variables are nested too deep");
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '$') {
        size_t next = std::min(text.find('$', i), text.size());
        out += text.substr(i, next - i);
        i = next;
        continue;
      }
      char after = i + 1 < text.size() ? text[i + 1] : '\0';
      if (after == '$') {
        out += '$';
        i += 2;
      } else if (StartsName(after)) {
        size_t end = EndOfName(text, i + 1);
        out += Value(text.substr(i + 1, end - i - 1));
        i = end;
      } else if (after == '{') {
        size_t end = Closing(text, i + 2);
        if (end == text.npos)
          return Malformed(text);
        out += TRY(Braced(text.substr(i + 2, end - i - 2), depth));
        i = end + 1;
      } else {
        return Malformed(text);
      }
      if (out.size() > kMaxValueBytes)
        return Fail(Errc::kInvalid, "the value with its variables is longer than 256 kiB");
    }
    return out;
  }

 private:
  static size_t EndOfName(std::string_view text, size_t at) {
    while (at < text.size() && InName(text[at]))
      ++at;
    return at;
  }

  // The brace that closes the one before `at`.
  static size_t Closing(std::string_view text, size_t at) {
    int open = 1;
    for (; at < text.size(); ++at) {
      if (text[at] == '$' && at + 1 < text.size() && (text[at + 1] == '{' || text[at + 1] == '$')) {
        open += text[at + 1] == '{' ? 1 : 0;
        ++at;
      } else if (text[at] == '}' && --open == 0) {
        return at;
      }
    }
    return text.npos;
  }

  std::string Value(std::string_view name) {
    auto found = environment_.find(name);
    if (found != environment_.end())
      return found->second;
    unset_.emplace_back(name);
    return {};
  }

  // NAME, or NAME with an operator and its word.
  Result<std::string> Braced(std::string_view inside, int depth) {
    size_t end = EndOfName(inside, 0);
    if (end == 0 || !StartsName(inside[0]))
      return Malformed(Cat("${", inside, "}"));
    std::string_view name = inside.substr(0, end);
    std::string_view rest = inside.substr(end);
    if (rest.empty())
      return Value(name);
    bool or_empty = rest[0] == ':';
    if (or_empty)
      rest.remove_prefix(1);
    if (rest.empty())
      return Malformed(Cat("${", inside, "}"));
    char kind = rest[0];
    rest.remove_prefix(1);
    auto found = environment_.find(name);
    bool present = found != environment_.end() && !(or_empty && found->second.empty());
    switch (kind) {
      case '-':
        return present ? Result<std::string>(found->second) : Run(rest, depth + 1);
      case '+':
        return present ? Run(rest, depth + 1) : Result<std::string>("");
      case '?': {
        if (present)
          return found->second;
        std::string why = TRY(Run(rest, depth + 1));
        return Fail(Errc::kInvalid,
                    Cat("the variable ", name, " is required", why.empty() ? "" : ": ", why));
      }
      default:
        return Malformed(Cat("${", inside, "}"));
    }
  }

  const Environment& environment_;
  std::vector<std::string>& unset_;
};

}  // namespace

Result<std::string> Interpolate(std::string_view text, const Environment& environment,
                                std::vector<std::string>& unset) {
  return Expander(environment, unset).Run(text, 0);
}

}  // namespace wherry::compose
