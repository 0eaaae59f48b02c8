// The `filters` parameter of Docker's API: a JSON object of lists, in the form
// {"label":{"a=b":true}} of the CLI or
// {"label":["a=b"]} of older clients. Parsing, and the predicates several objects share.
// Thread-safe, no state.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/events.h"

namespace wherry::engine {

class Filters {
 public:
  // An empty text is no filter. kInvalid for malformed JSON and for a key that is not in `allowed`.
  static Result<Filters> Parse(std::string_view text, std::span<const std::string_view> allowed);

  bool empty() const { return values_.empty(); }
  bool Has(std::string_view key) const;
  // All values of a key; empty when the key is absent.
  const std::vector<std::string>& Values(std::string_view key) const;
  // The first value as Docker's boolean ("1", "t", "true" in any case); false when absent.
  bool Flag(std::string_view key) const;

  // Each returns true when the key is absent.
  bool MatchesExactly(std::string_view key,
                      std::string_view text) const;  // any value equal to `text`
  bool MatchesPrefix(std::string_view key,
                     std::string_view text) const;  // any value a prefix of `text`
  // Every value of "label" ("key" or "key=value") holds, and none of "label!".
  bool MatchesLabels(const std::map<std::string, std::string>& labels) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// The small part of regular expressions that name filters use: literals, '.', 'x*', '^', '$' and
// '\' before a literal; found anywhere in `text`. Time is at most pattern times text.
bool MatchesPattern(std::string_view pattern, std::string_view text);

// A reference filter of images ("nginx", "nginx:*", "*/x:1") against a familiar name "nginx:1". '*'
// does not cross '/'.
bool MatchesReference(std::string_view pattern, std::string_view familiar_name);

inline constexpr std::string_view kEventFilters[] = {
    "config", "container", "daemon", "event",  "image",   "label", "network",
    "node",   "plugin",    "scope",  "secret", "service", "type",  "volume",
};
// Docker's rules for /events: exact types and actions (prefix for "health_status: ..." and "exec_*:
// ..."), containers by ID prefix or name prefix, images by ID or by name with or without tag.
bool MatchesEvent(const Event& event, const Filters& filters);

// The unix time in nanoseconds before which "until" of a prune wants things to be made.
Result<int64_t> PruneBefore(const Filters& filters);

}  // namespace wherry::engine
