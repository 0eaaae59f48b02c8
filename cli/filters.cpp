#include "cli/filters.h"

#include <map>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::cli {

Result<std::string> FiltersJson(const std::vector<std::string>& words) {
  std::map<std::string_view, std::vector<std::string>> filters;
  for (const std::string& word : words) {
    auto split = SplitFirst(word, '=');
    if (!split)
      return Fail(Errc::kInvalid, Cat("filter ", word, " is not KEY=VALUE"));
    filters[split->head].emplace_back(split->tail);
  }
  if (filters.empty())
    return std::string();
  JsonWriter json;
  json.Object();
  for (const auto& [key, values] : filters)
    json.Field(key, values);
  json.End();
  return json.Take();
}

}  // namespace wherry::cli
