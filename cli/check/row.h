// What `wherry check` asks, row by row. A new question is a row in kernel_rows.cpp or
// board_rows.cpp and the function that asks it: of the kernel or the board itself, leaving nothing
// behind.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "engine/config.h"

namespace wherry::cli::check {

struct Finding {
  bool there = true;
  std::string detail;  // what was found, or why it is missing
  std::string remedy;  // empty: the row's
};

Finding There(std::string_view detail);
Finding Missing(std::string_view why, std::string_view remedy = {});
Finding Missing(const Error& why);
// There with `detail`, or missing because of the error.
Finding From(const Result<>& asked, std::string_view detail);

enum class Need : uint8_t {
  kNeeded,  // no container runs without
  kWanted,  // something else does not work
};

struct Row {
  std::string_view name;
  Need need;
  std::string_view without;  // what does not work, as a sentence without its period
  std::string_view remedy;
  Finding (*ask)(const Row& row, const engine::Config& config);
  std::string_view argument = {};  // of `ask`: which controller, which file systems
};

// The directory of the data, or the nearest one above it that is there.
std::string DataDirectory(const engine::Config& config);

std::span<const Row> KernelRows();
std::span<const Row> BoardRows();

}  // namespace wherry::cli::check
