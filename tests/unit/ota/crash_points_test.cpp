// Updates, rollbacks and trials that take the device down, cut at every write, sync and rename and
// before every action on a container. A cut loses what was written to the record and not yet
// synced: all of it, none of it, or half. After each the device must end with the whole old or the
// whole new release, and never begin a trial more often than the release allows. The same of
// releases with an operating system, over the restarts they make: apps and slot always belong
// together.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/ota/device.h"
#include "tests/unit/ota/file_slots.h"
#include "tests/unit/temp_dir.h"

namespace {

enum class Cut { kLost, kTorn, kKept };

// Of the process that is cut. Only its updater's thread and the one that waits for it make calls.
struct {
  Cut cut = Cut::kLost;
  bool syncs_record = true;
  // The write to the record that is not yet on the device.
  int fd = -1;
  off_t offset = 0;
  std::string before;
} power;

// Calls until the cut, negative: none. Of all boots together, so that a cut may come in any of
// them.
int* const remaining = static_cast<int*>(
    mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

std::mutex power_mutex;

enum Exit { kDone = 0, kCut = 9, kDown = 10 };

template <class F>
F* Next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

void CutNow(Exit code) {
  static auto* write_at = Next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  size_t lost = power.cut == Cut::kLost   ? power.before.size()
                : power.cut == Cut::kTorn ? power.before.size() / 2
                                          : 0;
  if (power.fd >= 0 && lost > 0)
    (void)!write_at(power.fd, power.before.data(), lost, power.offset);
  _exit(code);
}

void Call() {
  std::lock_guard lock(power_mutex);
  if (*remaining >= 0 && (*remaining)-- == 0)
    CutNow(kCut);
}

}  // namespace

// What the C library offers is asked for here first.
extern "C" {
ssize_t CutPwrite(int fd, const void* data, size_t size, off_t offset) asm("pwrite");
int CutFdatasync(int fd) asm("fdatasync");
int CutFsync(int fd) asm("fsync");
int CutRenameat(int from_dir, const char* from, int to_dir, const char* to) asm("renameat");

ssize_t CutPwrite(int fd, const void* data, size_t size, off_t offset) {
  Call();
  std::string before(size, '\0');
  (void)!pread(fd, before.data(), size, offset);
  static auto* next = Next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  ssize_t written = next(fd, data, size, offset);
  std::lock_guard lock(power_mutex);
  power.fd = fd;
  power.offset = offset;
  power.before = before;
  return written;
}

int CutFdatasync(int fd) {
  Call();
  static auto* next = Next<int(int)>("fdatasync");
  int result = next(fd);
  std::lock_guard lock(power_mutex);
  if (power.syncs_record)
    power.fd = -1;
  return result;
}

int CutFsync(int fd) {
  Call();
  static auto* next = Next<int(int)>("fsync");
  return next(fd);
}

int CutRenameat(int from_dir, const char* from, int to_dir, const char* to) {
  Call();
  static auto* next = Next<int(int, const char*, int, const char*)>("renameat");
  return next(from_dir, from, to_dir, to);
}
}

namespace wherry::ota {
namespace {

constexpr int kNoCut = -1;
constexpr uint32_t kStarts = 3;

class CrashPoints : public testing::Test {
 protected:
  struct Scenario {
    const char* name;
    const SignedRelease* release;  // null: a rollback
    const SignedRelease* end;
    bool fails = false;       // its app
    bool takes_down = false;  // the device, when its app starts
    int busy = 0;             // so often in each boot an app holds its lock
    bool syncs_record = true;
    bool slots = false;
    std::string_view hangs = {};            // the operating system that never comes up
    const SignedRelease* or_end = nullptr;  // as good: a cut uses up a slot's one trial boot
  };

  void SetUp() override {
    *remaining = kNoCut;
    auto make = [&](uint64_t sequence, std::string_view apps) {
      return Signed(
          key_, ReleaseText(sequence, apps, R"("trial":{"soak_s":0,"deadline_s":60,"starts":3})"));
    };
    std::string shared = AppText("shared", "shared");
    first_ = make(1, Cat(AppText("web", "web-1"), ",", shared));
    second_ = make(2, Cat(AppText("web", "web-2"), ",", shared));
    third_ = make(3, Cat(AppText("new", "web-3"), ",", shared));
    Prepare("template", nullptr, {&first_, &second_});
    auto make_os = [&](uint64_t sequence, std::string_view apps, std::string_view version) {
      return Signed(key_, ReleaseText(sequence, apps,
                                      Cat(R"("trial":{"soak_s":0,"deadline_s":60,"starts":3},)",
                                          OsText(version))));
    };
    second_os_ = make_os(2, AppText("web", "web-2"), "os-2");
    third_os_ = make_os(3, AppText("new", "web-3"), "os-3");
  }

  // A device with the second release active in slot B, and the first in slot A to go back to.
  void PrepareSlots() {
    std::string directory = dir_ / "template-slots";
    ASSERT_TRUE(MakeDirs(directory + "/slots", 0700));
    ASSERT_TRUE(ReplaceFile(directory + "/slots/slot-A", "os-1", 0600, Durability::kVolatile));
    for (int boot = 0; boot < 2; ++boot) {
      FileSlots slots(directory + "/slots");
      Prepare("template-slots", &slots, {&first_, &second_os_});
    }
  }

  // A device with the second release active, and the first to go back to.
  void Prepare(const std::string& name, FileSlots* slots,
               std::initializer_list<const SignedRelease*> releases) {
    FileDevice device(dir_ / (name + "/device"));
    std::unique_ptr<Updater> updater = Boot(device, dir_ / name, slots);
    for (const SignedRelease* release : releases) {
      (void)updater->Apply(release->release, release->envelope,
                           Cat("d", release->release.sequence));
      AwaitRest(*updater, slots);
    }
  }

  std::unique_ptr<Updater> Boot(FileDevice& device, const std::string& directory,
                                FileSlots* slots) {
    std::unique_ptr<Updater> updater = Updater::Open({.directory = directory + "/ota",
                                                      .workload = &device,
                                                      .slots = slots,
                                                      .report = [](const Report&) {},
                                                      .log = [](std::string_view) {},
                                                      .period = std::chrono::milliseconds(1)});
    updater->Start();
    return updater;
  }

  static void AwaitRest(Updater& updater, FileSlots* slots) {
    while (!updater.Now().settled && (slots == nullptr || slots->restarts == 0))
      std::this_thread::sleep_for(std::chrono::microseconds(200));
  }

  // One boot of the device at `directory`: what is wished for is wished for again, and waited for.
  Exit RunOnce(const Scenario& scenario, const std::string& directory, Cut cut) {
    pid_t child = fork();
    if (child == 0) {
      power.cut = cut;
      power.syncs_record = scenario.syncs_record;
      Live(scenario, directory);
      _exit(kDone);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    return static_cast<Exit>(WEXITSTATUS(status));
  }

  void Live(const Scenario& scenario, const std::string& directory) {
    FileSlots slots(directory + "/slots");
    if (!scenario.hangs.empty() && slots.Running() == scenario.hangs)
      CutNow(kDown);
    slots.on_action = [&](std::string_view action) {
      Call();
      if (action == "restart")
        CutNow(kDown);
    };
    FileSlots* used = scenario.slots ? &slots : nullptr;
    FileDevice device(directory + "/device");
    if (scenario.fails)
      device.failing.insert("new");
    device.busy = scenario.busy;
    device.on_action = [&](std::string_view action) {
      Call();
      if (action.starts_with("app-new") && action.ends_with("running")) {
        UniqueFd log =
            wherry::Open(directory + "/starts", O_WRONLY | O_CREAT | O_APPEND, 0600).value();
        (void)!write(log.get(), "x", 1);
        if (scenario.takes_down)
          CutNow(kDown);
      }
    };
    std::unique_ptr<Updater> updater = Boot(device, directory, used);
    if (scenario.release != nullptr) {
      (void)updater->Apply(scenario.release->release, scenario.release->envelope, "d3");
    } else {
      (void)updater->Rollback(first_.release.digest);
    }
    AwaitRest(*updater, used);
    updater->Stop();
  }

  std::string Fresh(const Scenario& scenario) {
    std::string directory = dir_ / "run";
    EXPECT_TRUE(RemoveTree(directory));
    std::string from = dir_ / (scenario.slots ? "template-slots" : "template");
    EXPECT_EQ(system(Cat("cp -a ", from, " ", directory).c_str()), 0);
    return directory;
  }

  // Empty: all is as it has to be.
  std::string Judge(const Scenario& scenario, const std::string& directory) {
    FileDevice device(directory + "/device");
    RecordFile record = RecordFile::Open(directory + "/ota/record").value();
    UpdateState state = UpdateState::Parse(record.payload()).value();
    const SignedRelease* end = scenario.end;
    if (scenario.or_end != nullptr && state.active == scenario.or_end->release.digest)
      end = scenario.or_end;
    if (state.active != end->release.digest)
      return Cat("release ", state.active.hex().substr(0, 8), " is active, as ",
                 StateName(state.state));
    if (device.Running() != FileDevice::NamesOf(end->release))
      return Cat("runs ", Join(device.Running(), " "));
    if (std::string failure = JudgeSlots(scenario, end->release, directory); !failure.empty())
      return failure;
    size_t starts = ReadFile(directory + "/starts").value_or("").size();
    if (starts > kStarts)
      return Cat("the trial was begun ", starts, " times");
    return {};
  }

  std::string JudgeSlots(const Scenario& scenario, const Release& end,
                         const std::string& directory) {
    if (!scenario.slots)
      return {};
    FileSlots slots(directory + "/slots");
    if (slots.Running() != (end.os ? end.os->version : "os-1") || slots.Next().size() != 1)
      return Cat(slots.Running(), " runs, next is ", slots.Next());
    return {};
  }

  // Cut at each call in turn, then left alone until it rests. The number of points, and a line for
  // each failure.
  int TryAll(const Scenario& scenario, std::vector<std::string>* failures) {
    constexpr int kBoots = 12;
    int points = 0;
    for (Cut cut : {Cut::kLost, Cut::kTorn, Cut::kKept}) {
      for (int at = 0;; ++at, ++points) {
        std::string directory = Fresh(scenario);
        *remaining = at;
        Exit exit = kDown;
        int boots = 0;
        for (; exit != kDone && boots < kBoots; ++boots)
          exit = RunOnce(scenario, directory, cut);
        if (*remaining >= 0)
          break;  // there were no more calls
        std::string failure = exit != kDone ? "never came to rest" : Judge(scenario, directory);
        if (!failure.empty())
          failures->push_back(Cat(scenario.name, ", cut ", at, ": ", failure));
      }
    }
    return points;
  }

  void ExpectWhole(const Scenario& scenario) {
    std::vector<std::string> failures;
    int points = TryAll(scenario, &failures);
    printf("%s: %d crash points, %zu failures\n", scenario.name, points, failures.size());
    EXPECT_GT(points, 0);
    EXPECT_EQ(failures, std::vector<std::string>{});
  }

  TempDir dir_{TempDir::Where::kMemory};
  PrivateKey key_ = PrivateKey::Generate().value();
  SignedRelease first_;
  SignedRelease second_;
  SignedRelease third_;
  SignedRelease second_os_;
  SignedRelease third_os_;
};

TEST_F(CrashPoints, Update) {
  ExpectWhole({"update", &third_, &third_});
}

TEST_F(CrashPoints, UpdateThatIsTakenBack) {
  ExpectWhole({.name = "revert", .release = &third_, .end = &second_, .fails = true});
}

TEST_F(CrashPoints, UpdateThatWaits) {
  ExpectWhole({.name = "wait", .release = &third_, .end = &third_, .busy = 2});
}

TEST_F(CrashPoints, Rollback) {
  ExpectWhole({"rollback", nullptr, &first_});
}

TEST_F(CrashPoints, ReleaseThatTakesTheDeviceDown) {
  ExpectWhole({.name = "down", .release = &third_, .end = &second_, .takes_down = true});
}

TEST_F(CrashPoints, SlotUpdate) {
  PrepareSlots();
  ExpectWhole({.name = "os",
               .release = &third_os_,
               .end = &third_os_,
               .slots = true,
               .or_end = &second_os_});
}

TEST_F(CrashPoints, SlotUpdateWhoseAppsFail) {
  PrepareSlots();
  ExpectWhole({.name = "os, apps fail",
               .release = &third_os_,
               .end = &second_os_,
               .fails = true,
               .slots = true});
}

TEST_F(CrashPoints, SlotThatHangs) {
  PrepareSlots();
  ExpectWhole({.name = "os hangs",
               .release = &third_os_,
               .end = &second_os_,
               .slots = true,
               .hangs = "os-3"});
}

TEST_F(CrashPoints, SlotRollback) {
  PrepareSlots();
  ExpectWhole({.name = "os rollback", .release = nullptr, .end = &first_, .slots = true});
}

// The counter of trials has to be on the device before a trial begins. Without that these tests
// must see a device that is taken down for ever.
TEST_F(CrashPoints, WithoutSyncTheyFail) {
  std::vector<std::string> failures;
  TryAll({.name = "no sync",
          .release = &third_,
          .end = &second_,
          .takes_down = true,
          .syncs_record = false},
         &failures);
  EXPECT_FALSE(failures.empty());
}

}  // namespace
}  // namespace wherry::ota
