#include "engine/build/flags.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::build {

namespace {

constexpr size_t kShown = 100;

}  // namespace

Result<Flags> Flags::Parse(std::string_view instruction, std::span<const std::string> given,
                           std::span<const FlagRow> known) {
  using Kind = FlagRow::Kind;
  Flags flags;
  for (std::string_view flag : given) {
    size_t equals = flag.find('=');
    bool has_value = equals != std::string_view::npos;
    std::string_view name = flag.substr(0, equals);
    std::string_view value = has_value ? flag.substr(equals + 1) : std::string_view();
    auto shown = name.substr(0, kShown);
    auto row = std::find_if(known.begin(), known.end(),
                            [&](const FlagRow& r) { return r.name == name.substr(2); });
    if (row == known.end())
      return Fail(Errc::kInvalid, Cat("unknown flag: ", shown));
    if (row->kind == Kind::kUnsupported)
      return Fail(Errc::kUnsupported, Cat(instruction, " ", shown, " is not supported"));
    std::vector<std::string>& values = flags.values_[row->name];
    if (!values.empty() && row->kind != Kind::kList)
      return Fail(Errc::kInvalid, Cat("duplicate flag specified: ", shown));
    bool boolean = row->kind == Kind::kBool;
    if (boolean ? has_value && value.empty() : !has_value)
      return Fail(Errc::kInvalid, Cat("missing a value on flag: ", shown));
    std::string text = boolean ? ToLower(has_value ? value : "true") : std::string(value);
    if (boolean && text != "true" && text != "false")
      return Fail(Errc::kInvalid, Cat("expecting boolean value for flag ", shown,
                                      ", not: ", value.substr(0, kShown)));
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
