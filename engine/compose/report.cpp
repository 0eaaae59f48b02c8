#include "engine/compose/report.h"

#include "core/base/text.h"

namespace wherry::compose {

namespace {
constexpr size_t kMaxProblems = 50;
}

std::string Report::Place(const Node& at) const {
  return at.file < files_.size() ? Cat(files_[at.file], ":", at.line) : std::string("compose");
}

void Report::Add(const Node& at, std::string_view path, std::string_view what) {
  Add(Cat(Place(at), ": ", path, " ", what));
}

void Report::Add(std::string what) {
  if (problems_.size() < kMaxProblems)
    problems_.push_back(std::move(what));
}

void Report::Unsupported(const Node& at, std::string_view path) {
  Add(at, path, "is not supported by wherry");
}

Result<> Report::Finish() const {
  if (problems_.empty())
    return {};
  return Fail(Errc::kInvalid, Join(problems_, "\n"));
}

}  // namespace wherry::compose
