#include "ota/updater.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <thread>

#include "tests/unit/ota/device.h"
#include "tests/unit/ota/file_slots.h"
#include "tests/unit/temp_dir.h"

namespace wherry::ota {
namespace {

using std::chrono::milliseconds;

class UpdaterTest : public testing::Test {
 protected:
  void Boot() {
    updater_ = Updater::Open({.directory = dir_ / "ota",
                              .workload = &device_,
                              .report = [this](const Report& report) { Note(report); },
                              .log = [](std::string_view) {},
                              .period = milliseconds(2)});
    updater_->Start();
  }
  void Note(const Report& report) {
    std::lock_guard lock(mutex_);
    reports_.push_back(report);
    changed_.notify_all();
  }
  void Reboot() {
    updater_.reset();
    Boot();
  }
  void DamageRecord() {
    updater_.reset();
    reports_.clear();
    ASSERT_TRUE(ReplaceFile(dir_ / "ota/record", "garbage", 0600, Durability::kVolatile));
  }

  SignedRelease Make(uint64_t sequence, std::string_view app = "web", std::string_view image = "",
                     std::string_view extra = R"("trial":{"soak_s":0,"deadline_s":60})") {
    std::string name = image.empty() ? Cat("image", sequence) : std::string(image);
    return Signed(key_, ReleaseText(sequence, AppText(app, name), extra));
  }
  Result<> Apply(const SignedRelease& release, std::string_view deployment) {
    return updater_->Apply(release.release, release.envelope, deployment);
  }
  // As soon as its apps run.
  void ConfirmSoon() {
    Result<> confirmed = updater_->Confirm();
    while (!confirmed && confirmed.error().code() == Errc::kConflict) {
      std::this_thread::sleep_for(milliseconds(1));
      confirmed = updater_->Confirm();
    }
    EXPECT_TRUE(confirmed);
  }
  // Waits for a report of this state about this deployment.
  UpdateState Await(State state, std::string_view deployment) {
    std::unique_lock lock(mutex_);
    const Report* found = nullptr;
    bool came = changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      for (const Report& report : reports_) {
        if (report.update.state == state && report.update.deployment == deployment)
          found = &report;
      }
      return found != nullptr;
    });
    EXPECT_TRUE(came) << StateName(state) << " of " << deployment << " never came";
    return came ? found->update : UpdateState();
  }
  UpdateState Deploy(const SignedRelease& release, std::string_view deployment, State end) {
    EXPECT_TRUE(Apply(release, deployment));
    return Await(end, deployment);
  }
  std::vector<std::string> StatesOf(std::string_view deployment) {
    std::lock_guard lock(mutex_);
    std::vector<std::string> states;
    for (const Report& report : reports_) {
      if (report.update.deployment == deployment)
        states.emplace_back(StateName(report.update.state));
    }
    return states;
  }

  TempDir dir_;
  PrivateKey key_ = PrivateKey::Generate().value();
  FileDevice device_{dir_ / "device"};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Report> reports_;
  std::unique_ptr<Updater> updater_;
};

using Strings = std::vector<std::string>;

TEST_F(UpdaterTest, TakesOneAfterTheOther) {
  Boot();
  SignedRelease first = Make(1);
  SignedRelease second = Make(2);
  Deploy(first, "d1", State::kConfirmed);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
  UpdateState end = Deploy(second, "d2", State::kConfirmed);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(second.release));
  EXPECT_EQ(end.active, second.release.digest);
  EXPECT_EQ(end.previous, first.release.digest);
  EXPECT_EQ(StatesOf("d2"), (Strings{"FETCHING", "VERIFIED", "TRIAL", "CONFIRMED"}));
}

TEST_F(UpdaterTest, FailingReleaseIsTakenBack) {
  Boot();
  SignedRelease first = Make(1);
  Deploy(first, "d1", State::kConfirmed);
  device_.failing.insert("bad");
  UpdateState end = Deploy(Make(2, "bad"), "d2", State::kReverted);
  EXPECT_EQ(end.active, first.release.digest);
  EXPECT_EQ(end.code, Code::kHealth);
  EXPECT_EQ(end.reason, "bad exited with 3");
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
  EXPECT_EQ(StatesOf("d2"), (Strings{"FETCHING", "VERIFIED", "TRIAL", "REVERTING", "REVERTED"}));
  EXPECT_NE(updater_->Evidence().find(Make(2, "bad").release.digest.hex()), std::string::npos);
  // The same deployment is not tried again, a new one of the same release is.
  EXPECT_EQ(Apply(Make(2, "bad"), "d2").error().code(), Errc::kNotModified);
  Deploy(Make(2, "bad"), "d3", State::kReverted);
}

constexpr std::string_view kTrial = R"("trial":{"soak_s":0,"deadline_s":60})";

TEST_F(UpdaterTest, WaitsForAnAppsLock) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.busy = 3;
  UpdateState end = Deploy(Make(2), "d2", State::kConfirmed);
  EXPECT_EQ(StatesOf("d2"), (Strings{"FETCHING", "VERIFIED", "WAITING", "TRIAL", "CONFIRMED"}));
  EXPECT_EQ(Await(State::kWaiting, "d2").reason, "app web holds its lock");
  EXPECT_EQ(end.reason, "");
  EXPECT_EQ(device_.busy, 0);
  EXPECT_EQ(fcntl(device_.lock, F_GETFD), -1) << "the lock is still held";
}

TEST_F(UpdaterTest, LocksAreNotAskedForByForce) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.busy = 1000;
  Deploy(Make(2, "web", "", Cat(kTrial, R"(,"policy":{"start":"force"})")), "d2",
         State::kConfirmed);
  EXPECT_EQ(device_.busy, 1000);
}

TEST_F(UpdaterTest, WaitsForAWord) {
  Boot();
  SignedRelease first = Make(1);
  Deploy(first, "d1", State::kConfirmed);
  EXPECT_EQ(updater_->Proceed().error().code(), Errc::kConflict);
  SignedRelease second = Make(2, "web", "", Cat(kTrial, R"(,"policy":{"start":"hold"})"));
  Deploy(second, "d2", State::kWaiting);
  Reboot();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(updater_->Now().update.state, State::kWaiting);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
  ASSERT_TRUE(updater_->Proceed());
  Await(State::kConfirmed, "d2");
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(second.release));
}

TEST_F(UpdaterTest, WordIsOfOneDeployment) {
  Boot();
  std::string hold = Cat(kTrial, R"(,"policy":{"start":"hold"})");
  Deploy(Make(1, "web", "", hold), "d1", State::kWaiting);
  ASSERT_TRUE(updater_->Proceed());
  Await(State::kConfirmed, "d1");
  Deploy(Make(2, "web", "", hold), "d2", State::kWaiting);
  ASSERT_TRUE(updater_->Cancel(Code::kRequested, "not today"));
  Await(State::kCancelled, "d2");
  EXPECT_EQ(updater_->Now().update.code, Code::kRequested);
}

TEST_F(UpdaterTest, WaitsForAWindowUntilItsPatienceEnds) {
  Boot();
  std::time_t clock = std::time(nullptr);
  std::tm local{};
  localtime_r(&clock, &local);
  // An hour from now at the earliest.
  auto hour = [&](int ahead) {
    int then = (local.tm_hour + ahead) % 24;
    return Cat(then < 10 ? "0" : "", then, ":00");
  };
  std::string policy =
      Cat(kTrial, R"(,"policy":{"patience_s":1,"windows":[")", hour(2), "-", hour(3), R"("]})");
  Deploy(Make(1, "web", "", policy), "d1", State::kConfirmed);
  EXPECT_EQ(Await(State::kWaiting, "d1").reason, "none of its windows is open");
}

TEST_F(UpdaterTest, IsNotConfirmedBeforeItsAppsRun) {
  std::atomic<bool> held = true;
  std::atomic<bool> reached = false;
  device_.on_action = [&](std::string_view action) {
    if (!action.ends_with("running"))
      return;
    reached = true;
    while (held)
      std::this_thread::sleep_for(milliseconds(1));
  };
  Boot();
  device_.starting.insert("web");
  ASSERT_TRUE(Apply(Make(1), "d1"));
  while (!reached)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(updater_->Confirm().error().code(), Errc::kConflict);
  held = false;
  ConfirmSoon();
  EXPECT_EQ(Await(State::kConfirmed, "d1").active, Make(1).release.digest);
}

TEST_F(UpdaterTest, HangingTrialOfASystemIsOverdue) {
  std::atomic<bool> held = true;
  device_.on_action = [&](std::string_view action) {
    while (action.ends_with("running") && held)
      std::this_thread::sleep_for(milliseconds(1));
  };
  // Twice: the second boot is the one into the slot that was armed.
  SignedRelease release =
      Make(1, "web", "", Cat(R"("trial":{"soak_s":0,"deadline_s":1},)", OsText("os-1")));
  for (int boot = 0; boot < 2; ++boot) {
    FileSlots booted(dir_ / "slots");
    auto updater = Updater::Open({.directory = dir_ / "ota",
                                  .workload = &device_,
                                  .slots = &booted,
                                  .report = [](const Report&) {},
                                  .log = [](std::string_view) {},
                                  .period = milliseconds(2),
                                  .grace = std::chrono::seconds(0)});
    updater->Start();
    (void)updater->Apply(release.release, release.envelope, "d1");
    if (boot == 0) {
      while (booted.restarts == 0)
        std::this_thread::sleep_for(milliseconds(1));
      EXPECT_FALSE(updater->Overdue());
    } else {
      auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!updater->Overdue() && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(milliseconds(10));
      EXPECT_TRUE(updater->Overdue());
      EXPECT_EQ(updater->Now().update.state, State::kTrial);
    }
    held = boot == 0;
  }
}

// A device with slots whose daemon knows them or, by a mistake in its configuration, does not.
class SlotsLostTest : public UpdaterTest {
 protected:
  enum class Knows : uint8_t { kSlots, kNothing };

  void TearDown() override { updater_.reset(); }

  // A start of the device, or of the daemon alone in the same boot.
  void BootDevice(Knows knows) {
    updater_.reset();
    booted_ = std::make_unique<FileSlots>(dir_ / "slots");
    StartDaemon(knows);
  }
  void StartDaemon(Knows knows) {
    updater_.reset();
    updater_ = Updater::Open({.directory = dir_ / "ota",
                              .workload = &device_,
                              .slots = knows == Knows::kSlots ? booted_.get() : nullptr,
                              .no_slots = {.why = "[board]: no such device",
                                           .boot = booted_->BootId(),
                                           .restart = [this] { return Restart(); }},
                              .report = [this](const Report& report) { Note(report); },
                              .log = [](std::string_view) {},
                              .period = milliseconds(2)});
    updater_->Start();
  }
  Result<> Restart() {
    ++plain_restarts_;
    return stuck_ ? Fail(Errc::kInternal, "reboot: not permitted") : Result<>();
  }
  void AwaitRestart(const std::atomic<int>& count) {
    while (count == 0)
      std::this_thread::sleep_for(milliseconds(1));
  }
  // Release 1 runs on slot A, release 2 with a system is armed for slot B.
  void ArmSecond() {
    BootDevice(Knows::kSlots);
    Deploy(Make(1), "d1", State::kConfirmed);
    ASSERT_TRUE(Apply(Make(2, "new", "", Cat(kTrial, ",", OsText("os-2"))), "d2"));
    AwaitRestart(booted_->restarts);
    EXPECT_EQ(updater_->Now().update.state, State::kArmed);
  }
  void ExpectLeft() {
    AwaitRestart(plain_restarts_);
    UpdateState end = updater_->Now().update;
    EXPECT_EQ(end.state, State::kReverted);
    EXPECT_EQ(end.code, Code::kFellBack);
    EXPECT_EQ(end.active, Make(1).release.digest);
    EXPECT_EQ(end.reason,
              "the slots of this device are not known any more: [board]: no such device; it "
              "restarts into the slot before");
    BootDevice(Knows::kSlots);
    EXPECT_EQ(booted_->Booted(), board::Slot::kA);
    while (!updater_->Now().settled)
      std::this_thread::sleep_for(milliseconds(1));
    EXPECT_EQ(updater_->Now().update.state, State::kReverted);
    EXPECT_EQ(device_.Running(), FileDevice::NamesOf(Make(1).release));
    EXPECT_EQ(booted_->Next(), "A");
  }

  std::unique_ptr<FileSlots> booted_;
  std::atomic<int> plain_restarts_ = 0;
  std::atomic<bool> stuck_ = false;
};

TEST_F(SlotsLostTest, ASystemThatCannotTellThemIsLeft) {
  ArmSecond();
  BootDevice(Knows::kNothing);
  EXPECT_EQ(booted_->Booted(), board::Slot::kB);
  ExpectLeft();
}

TEST_F(SlotsLostTest, ATrialThatLosesThemIsTakenBack) {
  ArmSecond();
  device_.starting.insert("new");
  BootDevice(Knows::kSlots);
  Await(State::kTrial, "d2");
  StartDaemon(Knows::kNothing);
  ExpectLeft();
}

TEST_F(SlotsLostTest, BeforeTheRestartTheyAreNotNeeded) {
  ArmSecond();
  StartDaemon(Knows::kNothing);
  AwaitRestart(plain_restarts_);
  EXPECT_EQ(updater_->Now().update.state, State::kArmed);
  BootDevice(Knows::kSlots);
  Await(State::kConfirmed, "d2");
  EXPECT_EQ(booted_->Next(), "B");
}

TEST_F(SlotsLostTest, AppsRunWhereADeviceCannotRestart) {
  ArmSecond();
  stuck_ = true;
  BootDevice(Knows::kNothing);
  EXPECT_EQ(Await(State::kReverted, "d2").active, Make(1).release.digest);
  while (!updater_->Now().settled)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(Make(1).release));
  EXPECT_EQ(plain_restarts_, 1);
}

TEST_F(UpdaterTest, NeverHealthyIsTakenBackAtTheDeadline) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.starting.insert("slow");
  UpdateState end =
      Deploy(Make(2, "slow", "", R"("trial":{"soak_s":0,"deadline_s":1})"), "d2", State::kReverted);
  EXPECT_EQ(end.code, Code::kDeadline);
  EXPECT_EQ(end.reason, "not confirmed within 1 s: slow is not yet healthy");
}

TEST_F(UpdaterTest, UnstartableIsTakenBack) {
  Boot();
  SignedRelease first = Make(1);
  Deploy(first, "d1", State::kConfirmed);
  UpdateState end = Deploy(Make(2, "unstartable"), "d2", State::kReverted);
  EXPECT_EQ(end.code, Code::kSwitch);
  EXPECT_EQ(end.reason, "unstartable: no such program");
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release)) << "what the switch had stopped";
}

TEST_F(UpdaterTest, FirstReleaseTakenBackLeavesNothing) {
  device_.failing.insert("bad");
  Boot();
  UpdateState end = Deploy(Make(1, "bad"), "d1", State::kReverted);
  EXPECT_TRUE(end.active.none());
  EXPECT_EQ(device_.Running(), Strings{});
}

TEST_F(UpdaterTest, BothBad) {
  Boot();
  SignedRelease first = Make(1);
  Deploy(first, "d1", State::kConfirmed);
  device_.failing = {"bad", "web"};
  UpdateState end = Deploy(Make(2, "bad"), "d2", State::kBothBad);
  EXPECT_EQ(end.active, first.release.digest);
  EXPECT_EQ(end.reason, "bad exited with 3; and the release before is not well: web exited with 3");
  // The next one is the way out.
  Deploy(Make(3, "good"), "d3", State::kConfirmed);
}

TEST_F(UpdaterTest, OldAndUnknownAreRefused) {
  Boot();
  Deploy(Make(5, "web", "", R"("floor":4,"trial":{"soak_s":0,"deadline_s":60})"), "d1",
         State::kConfirmed);
  EXPECT_EQ(Apply(Make(5, "other"), "d2").error().code(), Errc::kDenied);
  EXPECT_EQ(Apply(Make(3), "d3").error().message(),
            "release gateway has sequence 3, below this device's floor of 4");
  EXPECT_EQ(Apply(Make(4), "d3").error().code(), Errc::kDenied);
}

TEST_F(UpdaterTest, ReleaseThatCannotBeHad) {
  device_.fetch_error = "registry.example/web@sha256:00: no such manifest";
  device_.fetch_code = Errc::kNotFound;
  Boot();
  UpdateState end = Deploy(Make(1), "d1", State::kRejected);
  EXPECT_EQ(end.code, Code::kFetch);
  EXPECT_EQ(end.reason, device_.fetch_error);
  EXPECT_TRUE(end.active.none());
}

TEST_F(UpdaterTest, UnreachableIsWaitedForAndCancelled) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.unreachable = true;
  ASSERT_TRUE(Apply(Make(2), "d2"));
  Await(State::kFetching, "d2");
  ASSERT_TRUE(updater_->Cancel(Code::kRevoked, "release 2 was revoked"));
  UpdateState end = Await(State::kCancelled, "d2");
  EXPECT_EQ(end.reason, "release 2 was revoked");
  EXPECT_EQ(end.active, Make(1).release.digest);
  EXPECT_EQ(updater_->Cancel(Code::kRequested, "").error().code(), Errc::kConflict);
}

TEST_F(UpdaterTest, NewerTakesThePlaceOfOneThatIsStuck) {
  device_.unreachable = true;
  Boot();
  ASSERT_TRUE(Apply(Make(1), "d1"));
  Await(State::kFetching, "d1");
  ASSERT_TRUE(Apply(Make(2), "d2"));
  device_.unreachable = false;
  UpdateState end = Await(State::kConfirmed, "d2");
  EXPECT_EQ(end.active, Make(2).release.digest);
  EXPECT_EQ(StatesOf("d1").back(), "FETCHING");
}

TEST_F(UpdaterTest, WaitsForRoomAndSaysSo) {
  device_.fetch_code = Errc::kNoSpace;
  device_.fetch_error = "needs 5 MB more";
  Boot();
  ASSERT_TRUE(Apply(Make(1), "d1"));
  for (int i = 0; i < 5000 && updater_->Now().waiting.empty(); ++i)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(updater_->Now().waiting, "needs 5 MB more");
  EXPECT_EQ(updater_->Now().update.state, State::kFetching);
}

TEST_F(UpdaterTest, TrialIsConfirmedOrCancelledByHand) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  EXPECT_EQ(updater_->Confirm().error().code(), Errc::kConflict);
  device_.starting.insert("slow");
  Deploy(Make(2, "slow"), "d2", State::kTrial);
  EXPECT_EQ(Apply(Make(3), "d3").error().code(), Errc::kConflict);
  ASSERT_TRUE(updater_->Cancel(Code::kRequested, "by hand"));
  EXPECT_EQ(Await(State::kReverted, "d2").reason, "by hand");
  Deploy(Make(2, "slow"), "d4", State::kTrial);
  ConfirmSoon();
  EXPECT_EQ(Await(State::kConfirmed, "d4").active, Make(2, "slow").release.digest);
}

TEST_F(UpdaterTest, RollbackGoesToTheOneBefore) {
  Boot();
  EXPECT_EQ(updater_->Rollback({}).error().code(), Errc::kConflict);
  SignedRelease first = Make(1);
  SignedRelease second = Make(2);
  Deploy(first, "d1", State::kConfirmed);
  Deploy(second, "d2", State::kConfirmed);
  EXPECT_EQ(updater_->Rollback(second.release.digest).error().code(), Errc::kNotModified);
  EXPECT_EQ(updater_->Rollback(Digest::Of("x")).error().code(), Errc::kConflict);
  ASSERT_TRUE(updater_->Rollback(first.release.digest));
  UpdateState end = Await(State::kReverted, "d2");
  EXPECT_EQ(end.active, first.release.digest);
  EXPECT_EQ(end.code, Code::kRequested);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
  EXPECT_EQ(updater_->Rollback(first.release.digest).error().code(), Errc::kNotModified);
}

TEST_F(UpdaterTest, FloorLeavesTheWayBackOpen) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  UpdateState end = Deploy(Make(9, "web", "", R"("floor":9,"trial":{"soak_s":0,"deadline_s":60})"),
                           "d2", State::kConfirmed);
  EXPECT_EQ(end.floor, 1U);
}

TEST_F(UpdaterTest, RebootsGoOn) {
  Boot();
  SignedRelease first = Make(1);
  Deploy(first, "d1", State::kConfirmed);
  updater_.reset();
  std::string name = FileDevice::NamesOf(first.release)[0];
  ASSERT_TRUE(ReplaceFile(dir_ / "device/" + name, "stopped", 0600, Durability::kVolatile));
  Boot();
  for (int i = 0; i < 5000 && device_.Running().empty(); ++i)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
}

TEST_F(UpdaterTest, TrialBegunTooOftenIsTakenBack) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.starting.insert("slow");
  Deploy(Make(2, "slow", "", R"("trial":{"soak_s":0,"deadline_s":60,"starts":3})"), "d2",
         State::kTrial);
  for (uint32_t starts : {2U, 3U}) {
    Reboot();
    for (int i = 0; i < 5000 && updater_->Now().update.starts < starts; ++i)
      std::this_thread::sleep_for(milliseconds(1));
    EXPECT_EQ(updater_->Now().update.starts, starts);
  }
  EXPECT_EQ(updater_->Now().update.state, State::kTrial);
  Reboot();
  UpdateState end = Await(State::kReverted, "d2");
  EXPECT_EQ(end.code, Code::kStarts);
}

TEST_F(UpdaterTest, WithADamagedRecordTheOneReleaseGoesOn) {
  Boot();
  SignedRelease release = Make(1);
  Deploy(release, "d1", State::kConfirmed);
  DamageRecord();
  Boot();
  EXPECT_EQ(updater_->Now().update.active, release.release.digest);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(release.release));
  Deploy(Make(2), "d2", State::kConfirmed);
}

// Which one was active is not known: the newest is tried, and the other one is there for it.
TEST_F(UpdaterTest, WithADamagedRecordTheNewestReleaseIsTried) {
  Boot();
  SignedRelease first = Make(1), second = Make(2, "bad");
  Deploy(first, "d1", State::kConfirmed);
  Deploy(second, "d2", State::kConfirmed);
  DamageRecord();
  Boot();
  EXPECT_EQ(Await(State::kConfirmed, "recovered").active, second.release.digest);
  DamageRecord();
  device_.failing.insert("bad");
  Boot();
  EXPECT_EQ(Await(State::kReverted, "recovered").active, first.release.digest);
  EXPECT_EQ(device_.Running(), FileDevice::NamesOf(first.release));
  updater_.reset();
  EXPECT_EQ(State::kReverted, (Boot(), updater_->Now().update.state))
      << "the record is there again";
}

TEST_F(UpdaterTest, NothingIsWrittenBeforeTheFirstRelease) {
  Boot();
  updater_.reset();
  EXPECT_FALSE(PathExists(dir_ / "ota"));
}

// A start of a trial that cannot be written down is not made.
TEST_F(UpdaterTest, TrialWaitsForItsCount) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  device_.starting.insert("slow");
  ASSERT_TRUE(Apply(Make(2, "slow"), "d2"));
  Await(State::kTrial, "d2");
  updater_.reset();
  std::atomic<int> started = 0;
  device_.on_action = [&](std::string_view action) { started += action.ends_with("running"); };
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  rlimit none{0, unlimited.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &none);
  Boot();
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(started, 0);
  EXPECT_TRUE(updater_->Now().waiting.contains("record cannot be written"));
  setrlimit(RLIMIT_FSIZE, &unlimited);
  device_.starting.clear();
  Await(State::kConfirmed, "d2");
}

// The disk of a device that is updated for years holds two releases, not all.
TEST_F(UpdaterTest, WhatIsLeftOfOldReleasesGoes) {
  Boot();
  for (uint64_t sequence = 1; sequence <= 5; ++sequence)
    Deploy(Make(sequence), Cat("d", sequence), State::kConfirmed);
  Reboot();
  Await(State::kConfirmed, "d5");
  while (!updater_->Now().settled)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(ListDir(dir_ / "ota/releases")->size(), 2U);
  EXPECT_EQ(ListDir(dir_ / "device")->size(), 4U) << "an app and an image of each of the two";
}

TEST_F(UpdaterTest, RecordThatIsNoFile) {
  ASSERT_TRUE(MakeDirs(dir_ / "ota/record/x", 0700));
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  EXPECT_TRUE(PathExists(dir_ / "ota/record.damaged"));
}

TEST_F(UpdaterTest, LastReportComesAgainAfterARestart) {
  Boot();
  Deploy(Make(1), "d1", State::kConfirmed);
  uint64_t number = reports_.back().number;
  updater_.reset();
  reports_.clear();
  Boot();
  Await(State::kConfirmed, "d1");
  EXPECT_EQ(reports_.back().number, number);
}

}  // namespace
}  // namespace wherry::ota
