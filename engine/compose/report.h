// What is wrong with compose files, all of it at once: each with file, line and path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/compose/node.h"

namespace wherry::compose {

class Report {
 public:
  // `files`: the names that Node::file counts.
  explicit Report(std::vector<std::string> files) : files_(std::move(files)) {}

  // "compose.yaml:12: services.web.image must be a string"
  void Add(const Node& at, std::string_view path, std::string_view what);
  // Without a place.
  void Add(std::string what);
  void Unsupported(const Node& at, std::string_view path);

  std::string Place(const Node& at) const;  // "compose.yaml:12"
  bool empty() const { return problems_.empty(); }
  // kInvalid with a line for each problem; success when there is none.
  Result<> Finish() const;

 private:
  std::vector<std::string> files_;
  std::vector<std::string> problems_;
};

}  // namespace wherry::compose
