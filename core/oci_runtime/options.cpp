#include "core/oci_runtime/options.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::oci_runtime {

namespace {

// "--name=value" taken apart.
struct Word {
  std::string shown;  // "--name"
  std::string_view name;
  bool is_letter = false;
  bool has_value = false;
  std::string_view value;
};

Word TakeApart(std::string_view word) {
  Word parts;
  if (auto pair = SplitFirst(word, '=')) {
    parts.has_value = true;
    parts.value = pair->tail;
    word = pair->head;
  }
  parts.shown = word;
  parts.name = word.substr(word.starts_with("--") ? 2 : 1);
  parts.is_letter = !word.starts_with("--") && parts.name.size() == 1;
  return parts;
}

}  // namespace

Result<Options> Options::Parse(std::span<const OptionRow> rows,
                               std::span<const std::string> words) {
  Options options;
  size_t next = 0;
  while (next < words.size() && words[next].size() > 1 && words[next][0] == '-') {
    Word word = TakeApart(words[next]);
    ++next;
    if (word.shown == "--")
      break;
    auto row = std::ranges::find_if(rows, [&word](const OptionRow& candidate) {
      return word.is_letter ? candidate.letter == word.name[0] : candidate.name == word.name;
    });
    if (row == rows.end())
      return Fail(Errc::kInvalid, Cat("unknown option ", word.shown));
    if (word.has_value && row->takes != Takes::kValue && word.value == "false")
      continue;
    if (row->takes == Takes::kRefused)
      return Fail(Errc::kUnsupported, Cat("the option --", row->name, " is not supported"));
    if (row->takes == Takes::kValue && !word.has_value) {
      if (next == words.size())
        return Fail(Errc::kInvalid, Cat("the option ", word.shown, " needs a value"));
      word.value = words[next];
      ++next;
    }
    options.given_.emplace_back(row->name, word.value);
  }
  options.arguments_.assign(words.begin() + static_cast<ptrdiff_t>(next), words.end());
  return options;
}

bool Options::Has(std::string_view name) const {
  return std::ranges::any_of(given_, [name](const auto& option) { return option.first == name; });
}

std::string Options::Value(std::string_view name) const {
  std::string value;
  for (const auto& option : given_) {
    if (option.first == name)
      value = option.second;
  }
  return value;
}

std::vector<std::string> Options::Values(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& option : given_) {
    if (option.first == name)
      values.push_back(option.second);
  }
  return values;
}

Result<int> Options::Number(std::string_view name, int high) const {
  if (!Has(name))
    return 0;
  Result<uint64_t> number = ParseUint(Value(name));
  if (!number || *number > static_cast<uint64_t>(high)) {
    return Fail(Errc::kInvalid,
                Cat("--", name, " ", Value(name), " is not a number from 0 to ", high));
  }
  return static_cast<int>(*number);
}

}  // namespace wherry::oci_runtime
