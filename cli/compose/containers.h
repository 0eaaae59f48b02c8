// The containers of a group, as the daemon has them, found by docker compose's labels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/compose/project.h"
#include "core/base/json.h"

namespace wherry::cli {

struct GroupContainer {
  GroupContainer();  // not inline: copied in many places
  ~GroupContainer();
  GroupContainer(const GroupContainer&);
  GroupContainer(GroupContainer&&) noexcept;
  GroupContainer& operator=(const GroupContainer&);
  GroupContainer& operator=(GroupContainer&&) noexcept;

  std::string id;
  std::string name;     // without the slash
  std::string service;  // of the group
  std::string image;    // as in the list
  std::string image_label;
  std::string hash;
  std::string state;  // "running", "exited", ...
  int64_t number = 0;
  bool one_off = false;
  std::vector<std::string> row;  // as `ps` shows it
};

enum class OneOffs : uint8_t { kLeaveOut, kInclude };

// Sorted by service and number.
Result<std::vector<GroupContainer>> ListContainers(Client& client, const std::string& group,
                                                   OneOffs one_offs);
// Those of one service; of all where `services` is empty.
std::vector<GroupContainer> ContainersOf(const std::vector<GroupContainer>& all,
                                         const std::vector<std::string>& services);

// POST /containers/ID/ACTION; one that already is in the wanted state is fine.
Result<> Act(Client& client, const GroupContainer& container, std::string_view action,
             const Query& query = {});
Result<> RemoveContainer(Client& client, const GroupContainer& container, bool volumes, bool force);

// Does `action` for all at the same time, each with a client of its own. The first error.
Result<> ForAll(Client& client, const std::vector<GroupContainer>& containers,
                const std::function<Result<>(Client&, const GroupContainer&)>& action);

// "web-1" of "shop-web-1".
std::string ShortName(const Project& project, const GroupContainer& container);

// Creates one and tells its warnings. Its ID.
Result<std::string> PostContainer(Client& client, const std::string& name,
                                  const std::string& platform, const std::string& body);

}  // namespace wherry::cli
