#include "core/sys/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"

namespace wherry::sys {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr char kMount[] = "/sys/fs/cgroup";
constexpr char kHybridMount[] = "/sys/fs/cgroup/unified";
constexpr size_t kMaxFile = 1 << 20;

bool IsCgroup2(const char* path) {
  struct statfs info{};
  return statfs(path, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

milliseconds Remaining(Clock::time_point deadline) {
  auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
  return left < milliseconds(0) ? milliseconds(0) : left;
}

Result<uint64_t> FindKey(std::string_view text, std::string_view key, std::string_view name) {
  for (std::string_view line : Split(text, '\n')) {
    auto pair = SplitFirst(line, ' ');
    if (pair && pair->head == key)
      return ParseUint(pair->tail);
  }
  return Fail(Errc::kNotFound, Cat(name, " has no line ", key));
}

// Waits until `key` in cgroup.events has the value `wanted`. The kernel wakes poll with POLLPRI on
// every change.
Result<> WaitForEvent(int dir, std::string_view key, uint64_t wanted, milliseconds timeout) {
  UniqueFd events = TRY(OpenAt(dir, "cgroup.events", O_RDONLY));
  auto deadline = Clock::now() + timeout;
  while (true) {
    if (lseek(events.get(), 0, SEEK_SET) < 0)
      return FailSys("lseek", "cgroup.events");
    std::string text = TRY(ReadAll(events.get(), kMaxFile, "cgroup.events"));
    uint64_t value = TRY(FindKey(text, key, "cgroup.events"));
    if (value == wanted)
      return {};
    milliseconds left = Remaining(deadline);
    if (left == milliseconds(0))
      return Fail(Errc::kTimeout, Cat("cgroup.events did not reach ", key, " ", wanted));
    pollfd waiter{events.get(), POLLPRI, 0};
    if (poll(&waiter, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)
      return FailSys("poll", "cgroup.events");
  }
}

Result<std::vector<std::string>> ChildGroups(int dir) {
  std::vector<std::string> names = TRY(ListDirFd(dir));
  std::erase_if(names, [dir](const std::string& name) {
    struct stat info{};
    return fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(info.st_mode);
  });
  return names;
}

Result<> CollectPids(int dir, std::vector<int>& pids) {
  auto text = ReadFileAt(dir, "cgroup.procs", kMaxFile);
  // A threaded cgroup lists its processes only in the domain above it.
  if (!text && text.error().error_number() != EOPNOTSUPP)
    return std::unexpected(std::move(text).error());
  if (text) {
    for (std::string_view line : Split(*text, '\n')) {
      if (auto pid = ParseInt(line); pid && *pid > 0)
        pids.push_back(static_cast<int>(*pid));
    }
  }
  std::vector<std::string> children = TRY(ChildGroups(dir));
  for (const std::string& name : children) {
    auto child = OpenAt(dir, name, O_RDONLY | O_DIRECTORY);
    if (child)
      TRY(CollectPids(child->get(), pids));
  }
  return {};
}

// For kernels before 5.14. Freezing keeps new processes from escaping the list; a killed process
// leaves the freezer.
Result<> KillEach(int dir) {
  auto deadline = Clock::now() + std::chrono::seconds(1);
  (void)WriteExistingAt(dir, "cgroup.freeze", "1");
  ScopeExit thaw([dir] { (void)WriteExistingAt(dir, "cgroup.freeze", "0"); });
  while (true) {
    std::vector<int> pids = TRY(CgroupPids(dir));
    if (pids.empty())
      return {};
    for (int pid : pids)
      kill(pid, SIGKILL);
    if (Remaining(deadline) == milliseconds(0)) {
      return Fail(Errc::kTimeout, Cat("process ", pids.front(), " in the cgroup does not end"));
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
}

// Removes what is below `dir` and then `name` in `parent`, which `dir` is a descriptor of.
Result<> RemoveOne(int parent, const std::string& name, Clock::time_point deadline) {
  // Mostly it is empty, and no list of its forty files is needed.
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0)
    return {};
  auto dir = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) {
    if (dir.error().code() == Errc::kNotFound)
      return {};
    return std::unexpected(std::move(dir).error());
  }
  std::vector<std::string> children = TRY(ChildGroups(dir->get()));
  for (const std::string& child : children)
    TRY(RemoveOne(dir->get(), child, deadline));
  while (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0) {
    if (errno == ENOENT)
      return {};
    if (errno != EBUSY || Remaining(deadline) == milliseconds(0))
      return FailSys("rmdir", name);
    // Processes are on their way out, or the kernel has not let go of the last one yet.
    (void)WaitUnpopulated(dir->get(), Remaining(deadline));
    std::this_thread::sleep_for(milliseconds(1));
  }
  return {};
}

}  // namespace

Result<CgroupHost> FindCgroupHost() {
  if (IsCgroup2(kMount))
    return CgroupHost{CgroupMode::kUnified, kMount};
  if (IsCgroup2(kHybridMount))
    return CgroupHost{CgroupMode::kHybrid, kHybridMount};
  return Fail(Errc::kUnsupported,
              "no cgroup v2 hierarchy is mounted at /sys/fs/cgroup; boot with "
              "systemd.unified_cgroup_hierarchy=1 or mount "
              "one with: mount -t cgroup2 none /sys/fs/cgroup");
}

Result<std::string> CgroupOf(int pid) {
  std::string path = pid == 0 ? std::string("/proc/self/cgroup") : Cat("/proc/", pid, "/cgroup");
  std::string text = TRY(ReadFile(path, kMaxFile));
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with("0::/"))
      return std::string(line.substr(3));
  }
  return Fail(Errc::kUnsupported, Cat(path, " names no cgroup v2 group"));
}

Result<std::vector<std::string>> ReadCgroupWords(int dir, const std::string& name) {
  std::string text = TRY(ReadFileAt(dir, name, kMaxFile));
  std::vector<std::string> words;
  for (std::string_view word : Split(Trim(text), ' ')) {
    if (!word.empty())
      words.emplace_back(word);
  }
  return words;
}

Result<uint64_t> ReadCgroupKey(int dir, const std::string& name, std::string_view key) {
  std::string text = TRY(ReadFileAt(dir, name, kMaxFile));
  return FindKey(text, key, name);
}

Result<uint64_t> ReadCgroupNumber(int dir, const std::string& name) {
  std::string text = TRY(ReadFileAt(dir, name, kMaxFile));
  std::string_view value = Trim(text);
  if (value == "max")
    return UINT64_MAX;
  return ParseUint(value);
}

Result<> SetFrozen(int dir, Freeze state, std::chrono::milliseconds timeout) {
  bool freeze = state == Freeze::kFreeze;
  TRY(WriteExistingAt(dir, "cgroup.freeze", freeze ? "1" : "0"));
  auto reached = WaitForEvent(dir, "frozen", freeze ? 1 : 0, timeout);
  if (!reached && freeze)
    (void)WriteExistingAt(dir, "cgroup.freeze", "0");
  return reached;
}

Result<> KillCgroup(int dir) {
  auto killed = WriteExistingAt(dir, "cgroup.kill", "1");
  if (killed || killed.error().error_number() != ENOENT)
    return killed;
  return KillEach(dir);
}

Result<std::vector<int>> CgroupPids(int dir) {
  std::vector<int> pids;
  TRY(CollectPids(dir, pids));
  return pids;
}

Result<> WaitUnpopulated(int dir, std::chrono::milliseconds timeout) {
  return WaitForEvent(dir, "populated", 0, timeout);
}

Result<> RemoveCgroup(const std::string& path, std::chrono::milliseconds timeout) {
  auto split = SplitLast(path, '/');
  if (!split || split->tail.empty())
    return Fail(Errc::kInvalid, Cat("not the path of a cgroup: ", path));
  auto parent = OpenDir(std::string(split->head.empty() ? "/" : split->head));
  if (!parent) {
    if (parent.error().code() == Errc::kNotFound)
      return {};
    return std::unexpected(std::move(parent).error());
  }
  return RemoveOne(parent->get(), std::string(split->tail), Clock::now() + timeout);
}

}  // namespace wherry::sys
