#include "cli/options.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::cli {

bool Arguments::Has(std::string_view name) const {
  return values_.find(name) != values_.end();
}

bool Arguments::Flag(std::string_view name) const {
  return Value(name) == "true";
}

std::string Arguments::Value(std::string_view name, std::string_view fallback) const {
  auto found = values_.find(name);
  return found == values_.end() ? std::string(fallback) : found->second.back();
}

const std::vector<std::string>& Arguments::List(std::string_view name) const {
  static const std::vector<std::string> kNone;
  auto found = values_.find(name);
  return found == values_.end() ? kNone : found->second;
}

class Parser {
 public:
  Parser(std::span<const Option> options, std::span<const std::string> words)
      : options_(options), words_(words) {}

  Result<Arguments> Run(Positional positional) {
    bool options_ended = false;
    for (; at_ < words_.size(); ++at_) {
      const std::string& word = words_[at_];
      if (options_ended || word.size() < 2 || word[0] != '-') {
        result_.positional_.push_back(word);
        options_ended |= positional == Positional::kEndsOptions;
      } else if (word == "--") {
        options_ended = true;
      } else if (word.starts_with("--")) {
        TRY(Long(std::string_view(word).substr(2)));
      } else {
        TRY(Short(std::string_view(word).substr(1)));
      }
    }
    return std::move(result_);
  }

 private:
  Result<> Long(std::string_view text) {
    auto split = SplitFirst(text, '=');
    std::string_view name = split ? split->head : text;
    auto found = std::find_if(options_.begin(), options_.end(),
                              [name](const Option& o) { return o.name == name; });
    if (found == options_.end())
      return Fail(Errc::kInvalid, Cat("unknown option --", name));
    if (found->kind == OptionKind::kFlag)
      return SetFlag(*found, split ? split->tail : "true");
    if (split)
      return Set(*found, split->tail);
    return SetFromNext(*found);
  }

  Result<> Short(std::string_view letters) {
    while (!letters.empty()) {
      char letter = letters[0];
      letters.remove_prefix(1);
      auto found = std::find_if(options_.begin(), options_.end(),
                                [letter](const Option& o) { return o.letter == letter; });
      if (found == options_.end())
        return Fail(Errc::kInvalid, Cat("unknown option -", letter));
      if (found->kind == OptionKind::kFlag) {
        TRY(SetFlag(*found, "true"));
      } else if (letters.empty()) {
        return SetFromNext(*found);
      } else {
        if (letters[0] == '=')
          letters.remove_prefix(1);
        return Set(*found, letters);
      }
    }
    return {};
  }

  Result<> SetFromNext(const Option& option) {
    if (at_ + 1 >= words_.size())
      return Fail(Errc::kInvalid, Cat("option --", option.name, " needs a value"));
    return Set(option, words_[++at_]);
  }

  Result<> SetFlag(const Option& option, std::string_view value) {
    if (value == "1")
      value = "true";
    if (value == "0")
      value = "false";
    if (value != "true" && value != "false") {
      return Fail(Errc::kInvalid,
                  Cat("option --", option.name, " takes true or false, not ", value));
    }
    return Set(option, value);
  }

  Result<> Set(const Option& option, std::string_view value) {
    result_.values_[std::string(option.name)].emplace_back(value);
    return {};
  }

  std::span<const Option> options_;
  std::span<const std::string> words_;
  size_t at_ = 0;
  Arguments result_;
};

Result<Arguments> ParseArguments(std::span<const Option> options,
                                 std::span<const std::string> words, Positional positional) {
  return Parser(options, words).Run(positional);
}

std::string DescribeOptions(std::span<const Option> options) {
  constexpr size_t kHelpColumn = 30;
  std::string text;
  for (const Option& option : options) {
    std::string line = option.letter != 0 ? Cat("  -", option.letter, ", --", option.name)
                                          : Cat("      --", option.name);
    if (!option.metavar.empty())
      Append(line, " ", option.metavar);
    line.resize(std::max(line.size() + 2, kHelpColumn), ' ');
    Append(text, line, option.help, "\n");
  }
  return text;
}

}  // namespace wherry::cli
