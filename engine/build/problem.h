// Errors and look-ups in small tables: out of line, because there are many of them. Internal to
// engine/build.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/result.h"

namespace wherry::build {

// kInvalid with the pieces as its message.
std::unexpected<Error> Invalid(std::initializer_list<std::string_view> pieces);

// The beginning of a text from outside, for a message.
std::string_view Shown(std::string_view text);

std::optional<size_t> IndexOf(std::span<const std::string_view> list, std::string_view text);

}  // namespace wherry::build
