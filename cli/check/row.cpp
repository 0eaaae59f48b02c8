#include "cli/check/row.h"

namespace wherry::cli::check {

Finding There(std::string_view detail) {
  return {.there = true, .detail = std::string(detail), .remedy = {}};
}

Finding Missing(std::string_view why, std::string_view remedy) {
  return {.there = false, .detail = std::string(why), .remedy = std::string(remedy)};
}

Finding Missing(const Error& why) {
  return Missing(why.message());
}

Finding From(const Result<>& asked, std::string_view detail) {
  return asked ? There(detail) : Missing(asked.error());
}

}  // namespace wherry::cli::check
