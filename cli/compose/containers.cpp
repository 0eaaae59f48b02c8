#include "cli/compose/containers.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "cli/filters.h"
#include "core/base/text.h"
#include "engine/compose/body.h"

namespace wherry::cli {

namespace {

std::string Path(std::string_view id, std::string_view action) {
  return Cat("/containers/", Segment(id), action);
}

GroupContainer FromList(JsonValue container) {
  JsonValue labels = container["Labels"];
  GroupContainer one;
  one.id = container["Id"].str();
  one.name = container["Names"].at(0).str();
  if (one.name.starts_with('/'))
    one.name.erase(0, 1);
  one.service = labels[compose::kServiceLabel].str();
  one.image = container["Image"].str();
  one.image_label = labels[compose::kImageLabel].str();
  one.hash = labels[compose::kHashLabel].str();
  one.state = container["State"].str();
  one.number = ParseInt(labels[compose::kNumberLabel].str()).value_or(0);
  one.one_off = EqualsIgnoreCase(labels[compose::kOneOffLabel].str(), "true");
  one.row = PsRow(container, false);
  return one;
}

}  // namespace

GroupContainer::GroupContainer() = default;
GroupContainer::~GroupContainer() = default;
GroupContainer::GroupContainer(const GroupContainer&) = default;
GroupContainer::GroupContainer(GroupContainer&&) noexcept = default;
GroupContainer& GroupContainer::operator=(const GroupContainer&) = default;
GroupContainer& GroupContainer::operator=(GroupContainer&&) noexcept = default;

Result<std::vector<GroupContainer>> ListContainers(Client& client, const std::string& group,
                                                   OneOffs one_offs) {
  std::string filters = TRY(FiltersJson({Cat("label=", compose::kProjectLabel, "=", group)}));
  auto list = TRY(client.Get(Target("/containers/json", {{"all", "1"}, {"filters", filters}})));
  std::vector<GroupContainer> containers;
  for (JsonValue entry : list.root()) {
    GroupContainer one = FromList(entry);
    if (!one.one_off || one_offs == OneOffs::kInclude)
      containers.push_back(std::move(one));
  }
  std::ranges::sort(containers, [](const GroupContainer& a, const GroupContainer& b) {
    return a.service != b.service ? a.service < b.service : a.number < b.number;
  });
  return containers;
}

std::vector<GroupContainer> ContainersOf(const std::vector<GroupContainer>& all,
                                         const std::vector<std::string>& services) {
  std::vector<GroupContainer> some;
  for (const GroupContainer& one : all) {
    if (services.empty() || std::ranges::find(services, one.service) != services.end())
      some.push_back(one);
  }
  return some;
}

Result<> Act(Client& client, const GroupContainer& container, std::string_view action,
             const Query& query) {
  auto done = client.Post(Target(Path(container.id, Cat("/", action)), query));
  if (!done && done.error().code() != Errc::kNotModified)
    return std::unexpected(std::move(done).error().Wrap(Cat(action, " ", container.name)));
  return {};
}

Result<> RemoveContainer(Client& client, const GroupContainer& container, bool volumes,
                         bool force) {
  auto removed = client.Delete(
      Target(Path(container.id, ""), {{"v", volumes ? "1" : ""}, {"force", force ? "1" : ""}}));
  if (!removed && removed.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(removed).error().Wrap(Cat("remove ", container.name)));
  return {};
}

Result<> ForAll(Client& client, const std::vector<GroupContainer>& containers,
                const std::function<Result<>(Client&, const GroupContainer&)>& action) {
  constexpr size_t kAtOnce = 8;
  std::optional<Error> first;
  for (size_t begin = 0; begin < containers.size(); begin += kAtOnce) {
    size_t end = std::min(begin + kAtOnce, containers.size());
    std::vector<Result<>> results(end - begin);
    std::vector<std::thread> threads;
    for (size_t i = begin; i < end; ++i) {
      threads.emplace_back([&, i] {
        Client own(client.socket());
        results[i - begin] = action(own, containers[i]);
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    for (Result<>& result : results) {
      if (!result && !first)
        first = std::move(result).error();
    }
  }
  return first ? Result<>(std::unexpected(*std::move(first))) : Result<>();
}

std::string ShortName(const Project& project, const GroupContainer& container) {
  std::string prefix = Cat(project.group.name, "-");
  return container.name.starts_with(prefix) ? container.name.substr(prefix.size()) : container.name;
}

Result<std::string> PostContainer(Client& client, const std::string& name,
                                  const std::string& platform, const std::string& body) {
  auto created = TRY_CTX(
      Cat("create ", name),
      client.Post(Target("/containers/create", {{"name", name}, {"platform", platform}}), body));
  for (const std::string& warning : created["Warnings"].strings())
    Say(Cat("WARNING: ", name, ": ", warning));
  return std::string(created["Id"].str());
}

}  // namespace wherry::cli
