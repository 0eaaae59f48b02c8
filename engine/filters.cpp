#include "engine/filters.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::engine {

namespace {

const std::vector<std::string> kNoValues;

Result<std::vector<std::string>> ParseValues(JsonValue list, std::string_view key) {
  std::vector<std::string> values;
  if (list.IsArray())
    return list.strings();
  if (!list.IsObject())
    return Fail(Errc::kInvalid, Cat("invalid filter '", key, "'"));
  for (JsonValue value : list)
    values.emplace_back(value.key());
  return values;
}

// One element of a pattern: a literal or any character, once or as often as it comes.
struct Element {
  char literal = 0;
  bool any = false;
  bool repeated = false;

  bool Fits(char c) const { return any || c == literal; }
};

struct Pattern {
  bool from_start = false;
  bool to_end = false;
  std::vector<Element> elements;
};

Pattern Compile(std::string_view text) {
  Pattern pattern;
  pattern.from_start = text.starts_with('^');
  if (pattern.from_start)
    text.remove_prefix(1);
  while (!text.empty() && !pattern.to_end) {
    if (text == "$") {
      pattern.to_end = true;
      break;
    }
    Element element;
    bool escaped = text[0] == '\\' && text.size() > 1;
    element.any = text[0] == '.';
    element.literal = text[escaped ? 1 : 0];
    text.remove_prefix(escaped ? 2 : 1);
    element.repeated = text.starts_with('*');
    if (element.repeated)
      text.remove_prefix(1);
    pattern.elements.push_back(element);
  }
  return pattern;
}

// A place in the pattern that has been reached, and those behind repeated elements, which may match
// nothing.
void Reach(const Pattern& pattern, size_t place, std::vector<bool>& reached) {
  while (!reached[place]) {
    reached[place] = true;
    if (place == pattern.elements.size() || !pattern.elements[place].repeated)
      return;
    ++place;
  }
}

// Wildcards of path.Match: '*' and '?' stay inside one path component.
bool MatchesPath(std::string_view pattern, std::string_view text) {
  auto patterns = Split(pattern, '/');
  auto texts = Split(text, '/');
  if (patterns.size() != texts.size())
    return false;
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (!WildcardMatch(patterns[i], texts[i]))
      return false;
  }
  return true;
}

// The name without its tag; a colon before the last slash belongs to a port.
std::string_view WithoutTag(std::string_view name) {
  auto parts = SplitLast(name, ':');
  if (!parts || parts->tail.find('/') != std::string_view::npos)
    return name;
  return parts->head;
}

std::string_view Attribute(const Event& event, const std::string& name) {
  auto found = event.attributes.find(name);
  return found == event.attributes.end() ? std::string_view() : found->second;
}

bool MatchesAction(const Event& event, const Filters& filters) {
  constexpr std::string_view kPrefixed[] = {"health_status", "exec_create", "exec_start"};
  if (filters.MatchesExactly("event", event.action))
    return true;
  return std::ranges::any_of(kPrefixed, [&](std::string_view action) {
    return event.action.starts_with(action) && filters.MatchesPrefix("event", event.action);
  });
}

bool MatchesActor(const Event& event, const Filters& filters, std::string_view key) {
  return filters.MatchesPrefix(key, event.actor_id) ||
         filters.MatchesPrefix(key, Attribute(event, "name"));
}

bool MatchesImage(const Event& event, const Filters& filters) {
  std::string_view name = Attribute(event, event.type == "image" ? "name" : "image");
  return filters.MatchesExactly("image", event.actor_id) || filters.MatchesExactly("image", name) ||
         filters.MatchesExactly("image", WithoutTag(name));
}

}  // namespace

Result<Filters> Filters::Parse(std::string_view text, std::span<const std::string_view> allowed) {
  Filters filters;
  if (Trim(text).empty())
    return filters;
  auto document = JsonDocument::Parse(text, "filters");
  if (!document || !(document->root().IsObject() || document->root().IsNull())) {
    return Fail(Errc::kInvalid, "invalid filter");
  }
  for (JsonValue member : document->root()) {
    std::string key(member.key());
    if (std::ranges::find(allowed, key) == allowed.end()) {
      return Fail(Errc::kInvalid, Cat("invalid filter '", key, "'"));
    }
    auto values = TRY(ParseValues(member, key));
    if (!values.empty())
      filters.values_[key] = std::move(values);
  }
  return filters;
}

bool Filters::Has(std::string_view key) const {
  return values_.contains(key);
}

const std::vector<std::string>& Filters::Values(std::string_view key) const {
  auto found = values_.find(key);
  return found == values_.end() ? kNoValues : found->second;
}

bool Filters::Flag(std::string_view key) const {
  const auto& values = Values(key);
  if (values.empty())
    return false;
  std::string value = ToLower(values.front());
  return value == "1" || value == "t" || value == "true";
}

bool Filters::MatchesExactly(std::string_view key, std::string_view text) const {
  return !Has(key) ||
         std::ranges::any_of(Values(key), [&](const std::string& value) { return value == text; });
}

bool Filters::MatchesPrefix(std::string_view key, std::string_view text) const {
  return !Has(key) || std::ranges::any_of(Values(key), [&](const std::string& value) {
    return text.starts_with(value);
  });
}

bool Filters::MatchesLabels(const std::map<std::string, std::string>& labels) const {
  auto holds = [&](const std::string& wanted) {
    auto pair = SplitFirst(wanted, '=');
    auto found = labels.find(std::string(pair ? pair->head : wanted));
    return found != labels.end() && (!pair || found->second == pair->tail);
  };
  return std::ranges::all_of(Values("label"), holds) &&
         std::ranges::none_of(Values("label!"), holds);
}

// All places the text so far can have led to are followed at once: the work is pattern times text,
// whatever they are.
bool MatchesPattern(std::string_view pattern_text, std::string_view text) {
  Pattern pattern = Compile(pattern_text);
  size_t end = pattern.elements.size();
  std::vector<bool> reached(end + 1);
  Reach(pattern, 0, reached);
  for (char c : text) {
    if (reached[end] && !pattern.to_end)
      return true;
    std::vector<bool> next(end + 1);
    for (size_t place = 0; place < end; ++place) {
      const Element& element = pattern.elements[place];
      if (reached[place] && element.Fits(c))
        Reach(pattern, element.repeated ? place : place + 1, next);
    }
    if (!pattern.from_start)
      Reach(pattern, 0, next);
    reached = std::move(next);
  }
  return reached[end];
}

bool MatchesReference(std::string_view pattern, std::string_view familiar_name) {
  return MatchesPath(pattern, familiar_name) || MatchesPath(pattern, WithoutTag(familiar_name));
}

bool MatchesEvent(const Event& event, const Filters& filters) {
  return filters.MatchesExactly("type", event.type) && filters.MatchesExactly("scope", "local") &&
         MatchesAction(event, filters) && MatchesActor(event, filters, "container") &&
         MatchesActor(event, filters, "network") && MatchesActor(event, filters, "volume") &&
         MatchesImage(event, filters) && filters.MatchesLabels(event.attributes);
}

Result<int64_t> PruneBefore(const Filters& filters) {
  if (!filters.Has("until"))
    return INT64_MAX;
  if (filters.Values("until").size() > 1)
    return Fail(Errc::kInvalid, "more than one until filter specified");
  return ParseTimestamp(filters.Values("until").front(), UnixNanosNow());
}

}  // namespace wherry::engine
