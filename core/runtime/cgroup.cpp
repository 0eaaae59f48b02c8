#include "core/runtime/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/cgroup_limits.h"
#include "core/runtime/controllers.h"
#include "core/runtime/device_filter.h"
#include "core/sys/bpf.h"
#include "core/sys/kernel.h"

namespace wherry::runtime {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFreezeTimeout{5000};
constexpr milliseconds kRemoveTimeout{2000};

constexpr std::array<std::string_view, 7> kControllers = {"cpu",  "cpuset",  "io",  "memory",
                                                          "pids", "hugetlb", "rdma"};

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// "/a/b" -> {"a", "b"}; kInvalid for anything but a clean absolute path below the mount.
Result<std::vector<std::string>> Components(const std::string& path) {
  if (path == "/")
    return Fail(Errc::kInvalid, "cgroup path \"/\" is the root, which is nobody's own");
  if (!path.starts_with('/'))
    return Fail(Errc::kInvalid, Cat("cgroup path \"", path, "\" is not absolute"));
  std::vector<std::string> parts;
  for (std::string_view part : Split(std::string_view(path).substr(1), '/')) {
    if (part.empty() || part == "." || part == "..") {
      return Fail(Errc::kInvalid,
                  Cat("cgroup path \"", path, "\" must have no empty, \".\" or \"..\" part"));
    }
    parts.emplace_back(part);
  }
  return parts;
}

// Enables in `dir` whatever it can give to its children. One by one: a single refusal must not cost
// the others. What stays off is explained when a limit needs it.
void EnableControllers(int dir) {
  auto available = sys::ReadCgroupWords(dir, "cgroup.controllers");
  auto enabled = sys::ReadCgroupWords(dir, "cgroup.subtree_control");
  if (!available || !enabled)
    return;
  for (std::string_view controller : kControllers) {
    if (!Contains(*available, controller) || Contains(*enabled, controller))
      continue;
    (void)WriteExistingAt(dir, "cgroup.subtree_control", Cat('+', controller));
  }
}

Result<UniqueFd> MakeAndOpen(int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST)
    return FailSys("mkdir", name);
  return OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

enum class Inner : uint8_t { kPlain, kWithControllers };

// The directory above the last component, made where it is missing.
Result<UniqueFd> MakeParents(const sys::CgroupHost& host, const std::vector<std::string>& parts,
                             Inner inner) {
  UniqueFd dir = TRY(OpenDir(host.mount));
  for (size_t i = 0;; ++i) {
    if (inner == Inner::kWithControllers)
      EnableControllers(dir.get());
    if (i + 1 == parts.size())
      return dir;
    UniqueFd child = TRY(MakeAndOpen(dir.get(), parts[i]));
    dir = std::move(child);
  }
}

// Why the root of v2 does not offer it: one clause with the remedy.
std::string WhyNotOnHost(Controller state, std::string_view controller) {
  switch (state) {
    case Controller::kOff:
      return Cat("it is switched off at boot; add cgroup_enable=", controller,
                 " to the kernel command line");
    case Controller::kOnV1:
      return Cat("it is bound to cgroup v1; boot with cgroup_no_v1=all or cgroup_no_v1=",
                 controller);
    case Controller::kOffered:
    case Controller::kAbsent:
      break;
  }
  return Cat("the kernel does not have it; it needs ", ControllerOption(controller));
}

// The whole story of a controller that the cgroup at `path` does not have.
std::string WhyMissing(const sys::CgroupHost& host, const std::string& path,
                       std::string_view controller) {
  if (ControllerOption(controller).empty())
    return "this kernel has no such controller";
  auto root = OpenDir(host.mount);
  auto parts = Components(path);
  if (!root || !parts)
    return "the cgroup is gone";
  Controller state = AskController(host, controller);
  if (state != Controller::kOffered)
    return WhyNotOnHost(state, controller);
  std::string walked;
  UniqueFd dir = *std::move(root);
  for (const std::string& part : *parts) {
    auto enabled = WriteExistingAt(dir.get(), "cgroup.subtree_control", Cat('+', controller));
    if (!enabled) {
      std::string_view where = walked.empty() ? std::string_view("/") : std::string_view(walked);
      if (enabled.error().error_number() == EBUSY) {
        return Cat("processes sit in the cgroup ", where,
                   ", so its children cannot have controllers; move them to a leaf");
      }
      if (enabled.error().error_number() == ENOENT) {
        return Cat("it is not delegated to the cgroup ", where,
                   "; set Delegate=yes in the service's unit");
      }
      return Cat("the cgroup ", where, " cannot pass it on: ", enabled.error().message());
    }
    auto child = OpenAt(dir.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!child)
      break;
    dir = *std::move(child);
    Append(walked, '/', part);
  }
  return "the kernel did not enable it";
}

Result<> WriteLimit(const sys::CgroupHost& host, const std::string& path, int dir,
                    const CgroupWrite& write) {
  // There the throttling takes a time of 0 for one in the future while the counter of ticks has its
  // highest bit set, which is the first five minutes after boot and half of the days, and BUG_ON
  // stops the machine.
  if (write.file == "io.max" && sys::KernelHas32Bits()) {
    return Fail(Errc::kUnsupported,
                Cat("cannot set io.max to \"", write.value,
                    "\": kernels of 32 bits crash when they slow a device down; leave the rate "
                    "out, or use a kernel of 64 bits"));
  }
  auto written = WriteExistingAt(dir, write.file, write.value);
  if (written)
    return {};
  Error error = std::move(written).error();
  if (error.code() != Errc::kNotFound) {
    return std::unexpected(
        std::move(error).Wrap(Cat("cannot set ", write.file, " to \"", write.value, "\"")));
  }
  if (write.if_missing == IfMissing::kIgnore)
    return {};
  auto own = sys::ReadCgroupWords(dir, "cgroup.controllers");
  std::string_view controller = write.Controller();
  if (own && !Contains(*own, controller)) {
    return Fail(Errc::kUnsupported,
                Cat("cannot set ", write.file, ": the requested cgroup controller `", controller,
                    "` is not available: ", WhyMissing(host, path, controller)));
  }
  return Fail(Errc::kUnsupported, Cat("cannot set ", write.file, ": this kernel's controller ",
                                      controller, " does not have it"));
}

// The kernel would make room for a lower limit by killing.
Result<> CheckMemoryUsage(int dir, const oci::Memory& memory) {
  int64_t limit = memory.limit.value_or(memory.swap.value_or(0));
  auto usage = sys::ReadCgroupNumber(dir, "memory.current");
  if (limit <= 0 || !usage || *usage < static_cast<uint64_t>(limit))
    return {};
  return Fail(Errc::kConflict, Cat("linux.resources.memory: the limit ", limit,
                                   " is not above the ", *usage, " bytes in use"));
}

// A cpuset that has processes cannot be emptied again: what it has had without saying so is said.
Result<std::string> ReadFormer(int dir, const std::string& file) {
  Result<std::string> content = ReadFileAt(dir, file);
  bool is_default = content && Trim(*content).empty() && file.starts_with("cpuset.");
  return is_default ? ReadFileAt(dir, Cat(file, ".effective")) : std::move(content);
}

std::optional<uint64_t> Optional(Result<uint64_t> value) {
  if (value)
    return *value;
  return std::nullopt;
}

// Sums "rbytes=1 wbytes=2 rios=3 wios=4" over the devices of io.stat.
void AddIoStat(int dir, CgroupStats& stats) {
  auto text = ReadFileAt(dir, "io.stat");
  if (!text)
    return;
  struct Column {
    std::string_view key;
    std::optional<uint64_t> CgroupStats::* member;
  };
  constexpr Column kColumns[] = {{"rbytes", &CgroupStats::io_read_bytes},
                                 {"wbytes", &CgroupStats::io_write_bytes},
                                 {"rios", &CgroupStats::io_reads},
                                 {"wios", &CgroupStats::io_writes}};
  for (const Column& column : kColumns)
    stats.*column.member = 0;
  for (std::string_view word : Split(*text, ' ')) {
    auto pair = SplitFirst(Trim(word), '=');
    if (!pair)
      continue;
    auto column = std::find_if(std::begin(kColumns), std::end(kColumns),
                               [&pair](const Column& row) { return row.key == pair->head; });
    // The value of a device's last column is followed by the next device.
    auto value = ParseUint(Split(pair->tail, '\n').front());
    if (column != std::end(kColumns) && value)
      stats.*column->member = (stats.*column->member).value_or(0) + *value;
  }
}

}  // namespace

Result<Cgroup> Cgroup::Create(const sys::CgroupHost& host, std::string path) {
  std::vector<std::string> parts = TRY(Components(path));
  UniqueFd parent =
      TRY_CTX(Cat("cgroup ", path), MakeParents(host, parts, Inner::kWithControllers));
  const std::string& name = parts.back();
  if (mkdirat(parent.get(), name.c_str(), 0755) != 0) {
    if (errno != EEXIST)
      return FailSys("mkdir", Cat("cgroup ", path));
    // Limits of a former life must not survive: an empty left-over is made anew.
    UniqueFd old = TRY(OpenAt(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    uint64_t populated = TRY(sys::ReadCgroupKey(old.get(), "cgroup.events", "populated"));
    if (populated != 0)
      return Fail(Errc::kExists, Cat("cgroup ", path, " exists and has processes"));
    TRY(sys::RemoveCgroup(host.mount + path, kRemoveTimeout));
    if (mkdirat(parent.get(), name.c_str(), 0755) != 0)
      return FailSys("mkdir", Cat("cgroup ", path));
  }
  auto dir = OpenAt(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) {
    unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR);
    return std::unexpected(std::move(dir).error());
  }
  return Cgroup(host, std::move(path), *std::move(dir));
}

Result<Cgroup> Cgroup::Open(const sys::CgroupHost& host, std::string path) {
  TRY(Components(path));
  UniqueFd dir = TRY(OpenDir(host.mount + path));
  return Cgroup(host, std::move(path), std::move(dir));
}

Result<std::vector<CgroupWrite>> Cgroup::Writes(const oci::LinuxResources& resources) const {
  bool bfq = faccessat(dir_.get(), "io.bfq.weight", F_OK, 0) == 0;
  return LimitWrites(resources, bfq ? IoWeightFile::kBfq : IoWeightFile::kCost);
}

Result<> Cgroup::SetLimits(const oci::LinuxResources& resources) {
  if (resources.memory.check_before_update)
    TRY(CheckMemoryUsage(dir_.get(), resources.memory));
  std::vector<CgroupWrite> writes = TRY(Writes(resources));
  for (const CgroupWrite& write : writes)
    TRY(WriteLimit(host_, path_, dir_.get(), write));
  return {};
}

Result<std::vector<CgroupWrite>> Cgroup::ChangeLimits(const oci::LinuxResources& resources) {
  if (resources.memory.check_before_update)
    TRY(CheckMemoryUsage(dir_.get(), resources.memory));
  std::vector<CgroupWrite> writes = TRY(Writes(resources));
  std::vector<CgroupWrite> former;
  for (const CgroupWrite& write : writes) {
    Result<std::string> content = ReadFormer(dir_.get(), write.file);
    Result<> written = WriteLimit(host_, path_, dir_.get(), write);
    if (!written)
      return std::unexpected(PutBack(former, std::move(written).error()));
    if (content)  // not of those that can only be written, such as memory.reclaim
      former.insert(former.begin(), {write.file, FormerValue(write, *content)});
  }
  return former;
}

Error Cgroup::PutBack(const std::vector<CgroupWrite>& former, Error error) {
  for (const CgroupWrite& write : former) {
    Result<> written = WriteLimit(host_, path_, dir_.get(), write);
    if (!written)
      error = std::move(error).FollowedBy(written.error());
  }
  return error;
}

Result<> Cgroup::SetDevices(const oci::LinuxResources& resources) {
  std::vector<bpf_insn> code = TRY(CompileDeviceRules(resources.devices));
  if (code.empty())
    return {};
  UniqueFd program = TRY(sys::LoadDeviceProgram(code));
  return sys::AttachDeviceProgram(dir_.get(), program.get());
}

Result<> Cgroup::Delegate(uint32_t uid, uint32_t gid) {
  Result<std::string> listed = ReadFile("/sys/kernel/cgroup/delegate");
  std::string files = listed ? *listed : "cgroup.procs\ncgroup.threads\ncgroup.subtree_control";
  if (fchown(dir_.get(), uid, gid) < 0)
    return FailSys("fchown", path_);
  for (std::string_view file : Split(Trim(files), '\n')) {
    // The list is of all controllers this kernel knows.
    if (fchownat(dir_.get(), std::string(file).c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) < 0 &&
        errno != ENOENT) {
      return FailSys("fchownat", Cat(path_, "/", file));
    }
  }
  return {};
}

Result<> Cgroup::AddProcess(int pid) {
  return WriteExistingAt(dir_.get(), "cgroup.procs", Cat(pid));
}

Result<> Cgroup::Freeze() {
  return sys::SetFrozen(dir_.get(), sys::Freeze::kFreeze, kFreezeTimeout);
}

Result<> Cgroup::Thaw() {
  return sys::SetFrozen(dir_.get(), sys::Freeze::kThaw, kFreezeTimeout);
}

Result<> Cgroup::Kill() {
  return sys::KillCgroup(dir_.get());
}

Result<> Cgroup::Clear() {
  TRY(sys::KillCgroup(dir_.get()));
  return sys::WaitUnpopulated(dir_.get(), kRemoveTimeout);
}

Result<> Cgroup::Remove() {
  if (rmdir((host_.mount + path_).c_str()) == 0)  // empty already
    return {};
  auto killed = sys::KillCgroup(dir_.get());
  auto removed = sys::RemoveCgroup(host_.mount + path_, kRemoveTimeout);
  if (removed || killed)
    return removed;
  return std::unexpected(std::move(removed).error().FollowedBy(killed.error()));
}

CgroupStats Cgroup::Stats() const {
  int dir = dir_.get();
  CgroupStats stats;
  struct Number {
    std::optional<uint64_t> CgroupStats::* member;
    const char* file;
    std::string_view key;  // empty: the file is one number
  };
  constexpr Number kNumbers[] = {
      {&CgroupStats::memory_current, "memory.current", ""},
      {&CgroupStats::memory_peak, "memory.peak", ""},
      {&CgroupStats::memory_max, "memory.max", ""},
      {&CgroupStats::memory_inactive_file, "memory.stat", "inactive_file"},
      {&CgroupStats::swap_current, "memory.swap.current", ""},
      {&CgroupStats::oom_kills, "memory.events", "oom_kill"},
      {&CgroupStats::cpu_usage_us, "cpu.stat", "usage_usec"},
      {&CgroupStats::cpu_user_us, "cpu.stat", "user_usec"},
      {&CgroupStats::cpu_system_us, "cpu.stat", "system_usec"},
      {&CgroupStats::cpu_periods, "cpu.stat", "nr_periods"},
      {&CgroupStats::cpu_throttled_periods, "cpu.stat", "nr_throttled"},
      {&CgroupStats::cpu_throttled_us, "cpu.stat", "throttled_usec"},
      {&CgroupStats::pids_current, "pids.current", ""},
      {&CgroupStats::pids_max, "pids.max", ""},
  };
  for (const Number& number : kNumbers) {
    stats.*number.member =
        Optional(number.key.empty() ? sys::ReadCgroupNumber(dir, number.file)
                                    : sys::ReadCgroupKey(dir, number.file, number.key));
  }
  AddIoStat(dir, stats);
  return stats;
}

Result<UniqueFd> MakeLeafCgroup(const sys::CgroupHost& host, const std::string& path) {
  std::vector<std::string> parts = TRY(Components(path));
  UniqueFd parent = TRY_CTX(Cat("cgroup ", path), MakeParents(host, parts, Inner::kPlain));
  return MakeAndOpen(parent.get(), parts.back());
}

Result<> LeaveInnerCgroup(const sys::CgroupHost& host, const std::string& parent) {
  std::string own = TRY(sys::CgroupOf(0));
  // Only groups above the containers' matter, and the root is exempt from the rule.
  if (own == "/" || !(parent + "/").starts_with(own + "/"))
    return {};
  UniqueFd leaf = TRY(MakeLeafCgroup(host, own + "/daemon"));
  UniqueFd dir = TRY(OpenDir(host.mount + own));
  std::string processes = TRY(ReadFileAt(dir.get(), "cgroup.procs"));
  for (std::string_view pid : Split(Trim(processes), '\n')) {
    // A process that has ended meanwhile, or a kernel thread that cannot move, is no obstacle of
    // ours.
    if (!pid.empty())
      (void)WriteExistingAt(leaf.get(), "cgroup.procs", pid);
  }
  return WriteExistingAt(leaf.get(), "cgroup.procs", "0");
}

}  // namespace wherry::runtime
