#include "core/oci/spec_reader.h"

#include <cJSON.h>

#include <algorithm>
#include <cmath>

#include "core/base/text.h"

namespace wherry::oci {

namespace {

// Appends the name of `wanted` relative to `tree` to `name`; false when it is not in there.
bool FindName(JsonValue tree, const cJSON* wanted, std::string& name) {
  if (tree.node() == wanted)
    return true;
  size_t length = name.size();
  size_t index = 0;
  for (JsonValue child : tree) {
    if (tree.IsArray())
      Append(name, "[", index++, "]");
    else
      Append(name, name.empty() ? "" : ".", child.key());
    if (FindName(child, wanted, name))
      return true;
    name.resize(length);
  }
  return false;
}

}  // namespace

std::string Field::name() const {
  std::string name;
  if (value_ && FindName(*root_, value_.node(), name))
    return name;
  if (parent_ && FindName(*root_, parent_.node(), name) && !name.empty())
    name += '.';
  return Cat(name, key_);
}

Result<std::vector<Field>> Field::Children() const {
  std::vector<Field> fields;
  fields.reserve(value_.size());
  for (JsonValue child : value_)
    fields.push_back(Field(*this, child, child.key()));
  return fields;
}

Result<std::vector<Field>> Field::Elements() const {
  if (!*this)
    return std::vector<Field>();
  if (!value_.IsArray())
    return Bad("must be an array");
  return Children();
}

Result<std::vector<Field>> Field::Members() const {
  TRY(ExpectObject());
  if (!*this)
    return std::vector<Field>();
  return Children();
}

bool Field::AsksForSomething() const {
  if (value_.IsString())
    return !value_.str().empty();
  if (value_.IsArray() || value_.IsObject())
    return value_.size() > 0;
  return static_cast<bool>(*this);
}

Result<> Field::ExpectObject() const {
  if (*this && !value_.IsObject())
    return Bad("must be an object");
  return {};
}

Result<> Field::ExpectKnown(std::span<const std::string_view> known) const {
  for (const Field& member : TRY(Members())) {
    if (std::ranges::find(known, member.key()) == known.end())
      return member.Bad("is not known to this version of wherry");
  }
  return {};
}

Result<std::string> Field::Text() const {
  if (!*this)
    return std::string();
  if (!value_.IsString())
    return Bad("must be a string");
  return std::string(value_.str());
}

Result<bool> Field::Flag() const {
  if (!*this)
    return false;
  if (!value_.IsBool())
    return Bad("must be true or false");
  return value_.boolean();
}

Result<std::vector<std::string>> Field::Texts() const {
  std::vector<Field> elements = TRY(Elements());
  std::vector<std::string> texts;
  for (const Field& element : elements) {
    if (!element || !element.value_.IsString())
      return element.Bad("must be a string");
    texts.emplace_back(element.value_.str());
  }
  return texts;
}

Result<std::string> Field::AbsolutePath() const {
  std::string path = TRY(Text());
  if (!path.starts_with('/'))
    return Bad("must be an absolute path");
  return path;
}

Result<std::vector<std::string>> Field::Environment() const {
  std::vector<std::string> entries = TRY(Texts());
  for (const std::string& entry : entries) {
    size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0)
      return Bad(Cat("entry is not NAME=value: ", entry));
  }
  return entries;
}

Result<std::map<std::string, std::string>> Field::TextMap() const {
  std::vector<Field> members = TRY(Members());
  std::map<std::string, std::string> map;
  for (const Field& member : members) {
    if (!member.value_.IsString())
      return member.Bad("must be a string");
    map[std::string(member.key())] = std::string(member.value_.str());
  }
  return map;
}

Result<std::vector<uint32_t>> Field::NumberList() const {
  constexpr uint64_t kMost = 8191;
  std::string text = TRY(Text());
  std::vector<uint32_t> numbers;
  for (std::string_view part : Split(text, ',')) {
    if (text.empty())
      break;
    std::optional<Pair> range = SplitFirst(part, '-');
    Result<uint64_t> first = ParseUint(range ? range->head : part);
    Result<uint64_t> last = ParseUint(range ? range->tail : part);
    if (!first || !last || *first > *last || *last > kMost)
      return Bad(Cat("must look like \"0-2,4\", not \"", text, "\""));
    for (uint64_t number = *first; number <= *last; ++number)
      numbers.push_back(static_cast<uint32_t>(number));
  }
  return numbers;
}

Result<int64_t> Field::Number(int64_t low, int64_t high) const {
  if (!value_.IsNumber())
    return Bad("must be a number");
  double exact = value_.node()->valuedouble;
  if (std::trunc(exact) != exact)
    return Bad("must be a whole number");
  int64_t number = value_.integer();
  if (number < low || number > high)
    return Bad(Cat("must be from ", low, " to ", high));
  return number;
}

std::unexpected<Error> Field::Bad(std::string_view what) const {
  return Fail(Errc::kInvalid, Cat(document_, ": ", name(), " ", what));
}

std::unexpected<Error> Field::Unsupported() const {
  return Fail(Errc::kUnsupported, Cat(document_, ": ", name(), " is not supported"));
}

}  // namespace wherry::oci
