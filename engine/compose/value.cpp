#include "engine/compose/value.h"

#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::compose {

bool IsExtension(std::string_view key) {
  return key.starts_with("x-");
}

std::string Value::path() const {
  if (parent_ == nullptr)
    return {};
  std::string above = parent_->path();
  if (parent_->IsList())
    return Cat(above, "[", index_, "]");
  return Cat(above, above.empty() ? "" : ".", parent_->Key(index_));
}

void Value::Bad(std::string_view what) const {
  report_->Add(*node_, path(), what);
}

void Value::Unsupported() const {
  report_->Unsupported(*node_, path());
}

bool Value::ExpectMap() const {
  if (!node_->IsMap())
    Bad("must be a map");
  return node_->IsMap();
}

bool Value::ExpectList() const {
  if (!node_->IsList())
    Bad("must be a list");
  return node_->IsList();
}

std::string Value::Text() const {
  if (!node_->IsScalar())
    Bad("must be a string");
  return node_->text;
}

bool Value::Flag() const {
  const std::string& text = node_->text;
  bool yes = text == "true" || text == "True" || text == "TRUE";
  bool no = text == "false" || text == "False" || text == "FALSE";
  if (!node_->IsScalar() || (!yes && !no))
    Bad("must be true or false");
  return yes;
}

int64_t Value::Number() const {
  auto number = ParseInt(node_->text);
  if (!node_->IsScalar() || !number)
    Bad("must be an integer");
  return number.value_or(0);
}

int64_t Value::Size() const {
  if (node_->IsScalar() && node_->text == "-1")
    return -1;
  auto size = ParseSize(node_->text);
  if (!node_->IsScalar() || !size || *size > INT64_MAX) {
    Bad("must be a size such as 64m");
    return 0;
  }
  return static_cast<int64_t>(*size);
}

int64_t Value::Nanoseconds() const {
  auto duration = ParseGoDuration(node_->text);
  if (!node_->IsScalar() || !duration || duration->count() < 0) {
    Bad("must be a duration such as 1m30s");
    return 0;
  }
  return duration->count();
}

int64_t Value::NanoCpus() const {
  auto split = SplitFirst(node_->text, '.');
  std::string fraction(split ? split->tail : "0");
  auto whole = ParseUint(split ? split->head : std::string_view(node_->text));
  if (fraction.size() < 9)
    fraction.resize(9, '0');
  auto parts = ParseUint(std::string_view(fraction).substr(0, 9));
  if (!node_->IsScalar() || !whole || *whole > 100'000 || !parts) {
    Bad("must be a number of processors such as 1.5");
    return 0;
  }
  return static_cast<int64_t>(*whole * 1'000'000'000 + *parts);
}

std::vector<std::string> Value::Texts() const {
  std::vector<std::string> list;
  if (!ExpectList())
    return list;
  for (size_t i = 0; i < size(); ++i)
    list.push_back(Element(i).Text());
  return list;
}

std::vector<std::string> Value::TextOrTexts() const {
  if (!node_->IsScalar())
    return Texts();
  std::vector<std::string> one;
  one.push_back(node_->text);
  return one;
}

Pairs Value::NameValues() const {
  Pairs pairs;
  if (IsList()) {
    for (const std::string& text : Texts()) {
      auto split = SplitFirst(text, '=');
      std::optional<std::string>& value = pairs[std::string(split ? split->head : text)];
      value.reset();
      if (split)
        value = std::string(split->tail);
    }
    return pairs;
  }
  if (!node_->IsMap()) {
    Bad("must be a map or a list of NAME=VALUE");
    return pairs;
  }
  for (size_t i = 0; i < size(); ++i) {
    std::optional<std::string>& value = pairs[Key(i)];
    if (!node_->items[i].IsNull())
      value = Member(i).Text();
  }
  return pairs;
}

std::map<std::string, std::string, std::less<>> Value::Strings() const {
  std::map<std::string, std::string, std::less<>> strings;
  for (auto& [name, value] : NameValues())
    strings[name] = value.value_or("");
  return strings;
}

}  // namespace wherry::compose
