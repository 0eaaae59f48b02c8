// Progress of a pull as the daemon reports it, drawn for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace wherry::cli {

class ProgressDisplay {
 public:
  // `columns` 0: not a terminal.
  ProgressDisplay(int fd, uint16_t columns) : fd_(fd), columns_(columns) {}
  // One message of the stream: {"status","id","progressDetail":{"current","total"}}.
  void Show(JsonValue message);

 private:
  struct Row {
    std::string id;
    std::string text;
  };
  void Redraw(size_t row);
  std::string Bar(uint64_t current, uint64_t total) const;

  int fd_;
  uint16_t columns_;
  std::vector<Row> rows_;
};

}  // namespace wherry::cli
