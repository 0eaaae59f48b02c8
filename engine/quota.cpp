#include "engine/quota.h"

#include <fcntl.h>

#include <mutex>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/project_quota.h"
#include "engine/root_view.h"

namespace wherry::engine {

namespace {

// Projects of administrators are numbered from 1 on.
constexpr uint32_t kFirstProject = 1 << 24;
constexpr int kAttempts = 1000;

Result<UniqueFd> OpenPart(const std::string& directory, const char* name) {
  return Open(Cat(directory, "/", name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// One that nobody uses, found from the container's ID on: nothing has to be kept of it.
Result<uint32_t> ChooseProject(int dir, const std::string& directory) {
  uint32_t project = kFirstProject;
  for (char digit : SplitPath(directory).name.substr(0, 6))
    project = kFirstProject | (project * 31 + static_cast<uint8_t>(digit)) % kFirstProject;
  for (int attempt = 0; attempt < kAttempts; ++attempt, ++project) {
    if (TRY(sys::UseOfProject(dir, project)).free())
      return project;
  }
  return Fail(Errc::kNoSpace, "no project number is free for the container's quota");
}

Result<> Limit(const std::string& directory, uint64_t bytes) {
  UniqueFd upper = TRY(OpenPart(directory, "upper"));
  UniqueFd work = TRY(OpenPart(directory, "work"));
  TRY(sys::CheckProjectQuota(upper.get()));
  static std::mutex choosing;
  std::lock_guard lock(choosing);
  uint32_t project = TRY(sys::ProjectOf(work.get()));
  if (project == 0)
    project = TRY(ChooseProject(upper.get(), directory));
  // Without its limit a project would be free for others as long as it is empty.
  if (TRY(sys::UseOfProject(upper.get(), project)).limit != bytes)
    TRY(sys::LimitProject(upper.get(), project, bytes));
  for (const UniqueFd* part : {&work, &upper}) {
    if (TRY(sys::ProjectOf(part->get())) != project)
      TRY(sys::SetProject(part->get(), project));
  }
  return {};
}

}  // namespace

Result<> CheckQuota(const std::string& root) {
  UniqueFd dir = TRY(OpenDir(root));
  auto works = sys::CheckProjectQuota(dir.get());
  if (works)
    return {};
  return Fail(
      Errc::kUnsupported,
      Cat("--storage-opt size= needs project quotas in ", root, ": ", works.error().message(),
          "; use xfs with the mount option prjquota, or ext4 made with "
          "'mkfs.ext4 -O project,quota -E quotatype=prjquota' and the same mount option"));
}

Result<> MakeLayer(const std::string& directory, const store::RootFs& root, uint64_t bytes) {
  TRY(MakeUpper(Cat(directory, "/upper"), root));
  TRY(MakeDirs(Cat(directory, "/work"), 0700));
  if (bytes > 0)
    TRY_CTX("limit what the container may write", Limit(directory, bytes));
  return {};
}

Result<> RemoveLayer(const std::string& directory) {
  Result<uint32_t> project = 0;
  if (auto work = OpenPart(directory, "work"))
    project = sys::ProjectOf(work->get());
  TRY(RemoveTree(directory));
  if (!project || *project < kFirstProject)
    return {};
  UniqueFd parent = TRY(OpenDir(SplitPath(directory).dir));
  // What stays of it keeps a number from being used again, and nothing else.
  (void)sys::LimitProject(parent.get(), *project, 0);
  return {};
}

}  // namespace wherry::engine
