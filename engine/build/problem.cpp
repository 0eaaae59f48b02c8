#include "engine/build/problem.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::build {

std::unexpected<Error> Invalid(std::initializer_list<std::string_view> pieces) {
  return Fail(Errc::kInvalid, CatPieces(pieces));
}

std::string_view Shown(std::string_view text) {
  return text.substr(0, 100);
}

std::optional<size_t> IndexOf(std::span<const std::string_view> list, std::string_view text) {
  auto at = std::find(list.begin(), list.end(), text);
  if (at == list.end())
    return std::nullopt;
  return static_cast<size_t>(at - list.begin());
}

}  // namespace wherry::build
