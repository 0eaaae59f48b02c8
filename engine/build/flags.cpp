#include "engine/build/flags.h"

#include <algorithm>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

Result<Flags> Flags::Parse(std::string_view instruction, std::span<const std::string> given,
                           std::span<const FlagRow> known) {
  using Kind = FlagRow::Kind;
  Flags flags;
  for (std::string_view flag : given) {
    size_t equals = flag.find('=');
    bool has_value = equals != std::string_view::npos;
    std::string_view name = flag.substr(0, equals);
    std::string_view value = has_value ? flag.substr(equals + 1) : std::string_view();
    auto shown = Shown(name);
    auto row = std::find_if(known.begin(), known.end(),
                            [&](const FlagRow& r) { return r.name == name.substr(2); });
    if (row == known.end())
      return Invalid({"unknown flag: ", shown});
    if (row->kind == Kind::kUnsupported)
      return Fail(Errc::kUnsupported, Cat(instruction, " ", shown, " is not supported"));
    std::vector<std::string>& values = flags.values_[row->name];
    if (!values.empty() && row->kind != Kind::kList)
      return Invalid({"duplicate flag specified: ", shown});
    bool boolean = row->kind == Kind::kBool;
    if (boolean ? has_value && value.empty() : !has_value)
      return Invalid({"missing a value on flag: ", shown});
    std::string text = boolean ? ToLower(has_value ? value : "true") : std::string(value);
    if (boolean && text != "true" && text != "false")
      return Invalid({"expecting boolean value for flag ", shown, ", not: ", Shown(value)});
    values.push_back(std::move(text));
  }
  return flags;
}

std::string Flags::Text(std::string_view name) const {
  auto at = values_.find(name);
  return at == values_.end() ? std::string() : at->second[0];
}

std::vector<std::string> Flags::List(std::string_view name) const {
  auto at = values_.find(name);
  return at == values_.end() ? std::vector<std::string>() : at->second;
}

std::optional<bool> Flags::Bool(std::string_view name) const {
  auto at = values_.find(name);
  if (at == values_.end())
    return std::nullopt;
  return at->second[0] == "true";
}

}  // namespace wherry::build
