// The locks by which apps put an update off: App::lock, held with flock(2).
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/path.h"
#include "engine/update/release_workload.h"

namespace wherry::engine {

// The file as the app sees it, whatever it is mounted on. Invalid: it is not there.
Result<UniqueFd> ReleaseWorkload::OpenLock(const ota::App& app, int64_t pid) {
  UniqueFd root = TRY(Open(Cat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY));
  // Asked after the open: the number was still that process's.
  Seen seen = TRY(Look(app));
  if (!HasProcess(seen.state) || seen.status.pid != pid)
    return UniqueFd();
  Result<UniqueFd> file = sys::OpenInRoot(root.get(), app.lock, O_PATH);
  if (!file)
    return file.error().code() == Errc::kNotFound ? UniqueFd() : std::move(file);
  // Nothing else is opened: that could wait, or do something.
  struct stat info{};
  if (fstat(file->get(), &info) < 0 || !S_ISREG(info.st_mode))
    return Fail(Errc::kInvalid, "is not a file");
  return Open(Cat("/proc/self/fd/", file->get()), O_RDONLY);
}

Result<std::vector<UniqueFd>> ReleaseWorkload::Hold(const ota::Release& active) {
  std::vector<UniqueFd> held;
  for (const ota::App& app : active.apps) {
    Seen seen = TRY(Look(app));
    if (app.lock.empty() || !HasProcess(seen.state))
      continue;
    UniqueFd file =
        TRY_CTX(Cat("app ", app.name, ": lock ", app.lock), OpenLock(app, seen.status.pid));
    if (!file)
      continue;
    if (flock(file.get(), LOCK_EX | LOCK_NB) < 0)
      return Fail(Errc::kConflict, Cat("app ", app.name, " holds its lock ", app.lock));
    held.push_back(std::move(file));
  }
  return held;
}

}  // namespace wherry::engine
