// What a switch knows of the apps that are handed over to. Plain data of ReleaseWorkload.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/update/release_workload.h"

namespace wherry::engine {

struct ReleaseWorkload::Handover {
  struct Row {
    const ota::App* app;
    std::optional<Seen> old;  // runs, and has what the app takes over
    bool late;                // comes after what does not run yet
  };
  const ota::Release* to = nullptr;
  bool back = false;  // to what was well before: it takes over even when it is not well now
  std::vector<Row> rows{};

  Row* Find(std::string_view name) {
    auto found = std::ranges::find(rows, name, [](const Row& row) { return row.app->name; });
    return found == rows.end() ? nullptr : &*found;
  }
  // Whether this container goes on until it has been handed over from.
  bool Keeps(std::string_view container_id) const {
    return std::ranges::any_of(
        rows, [&](const Row& row) { return row.old && row.old->id == container_id; });
  }
};

}  // namespace wherry::engine
