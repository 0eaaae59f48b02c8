#include "engine/build/path.h"

#include <vector>

#include "core/base/text.h"

namespace wherry::build {

std::string CleanPath(std::string_view path) {
  bool absolute = path.starts_with('/');
  std::vector<std::string> kept;
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part != "..")
      kept.emplace_back(part);
    else if (!kept.empty() && kept.back() != "..")
      kept.pop_back();
    else if (!absolute)
      kept.emplace_back(part);
  }
  std::string clean = Cat(absolute ? "/" : "", Join(kept, "/"));
  return clean.empty() ? "." : clean;
}

}  // namespace wherry::build
