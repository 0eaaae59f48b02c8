// Takes a device from one release to the next, and back when the next one is no good. A thread of
// its own walks the states of update_state.h; each is in the record before what it stands for is
// done, so that it goes on from any instant. No decision but that of a window depends on the wall
// clock. docs/updates.md tells the states and what leads from one to another.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "ota/os_slots.h"
#include "ota/record.h"
#include "ota/release_files.h"
#include "ota/update_state.h"
#include "ota/workload.h"

namespace wherry::ota {

// A change of state, after it was recorded. `number` grows with each and is never used twice: who
// keeps these drops one whose number it has.
struct Report {
  uint64_t number = 0;
  UpdateState update;
};

class Updater {
 public:
  struct Environment {
    std::string directory;     // persistent; record, releases/, evidence
    Workload* workload;        // outlives this
    OsSlots* slots = nullptr;  // outlives this; null: a release with an os is not applied
    NoSlots no_slots = {};     // where there are none
    // Called on the updater's thread. After a restart the last one comes again.
    std::function<void(const Report&)> report;
    std::function<void(std::string_view)> log;  // one line for the daemon's log
    // How often a trial is looked at.
    std::chrono::milliseconds period{1000};
    // What a trial of an operating system has beyond its deadline before it is Overdue.
    std::chrono::seconds grace{60};
  };

  // Reads what the last run left. A record that is damaged beyond repair is set aside and said so;
  // the documents of the releases tell what is to run: the newest is tried once more.
  static std::unique_ptr<Updater> Open(Environment environment);
  ~Updater();  // as Stop
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  // Starts the thread: the active release is made to run, an update in progress goes on.
  void Start();
  // From now on errors of the workload, which ends with the process, are none of the release.
  void BeginStop();
  // Returns when the thread has ended; what was in progress goes on with the next Start.
  void Stop();

  // What is wished for: any thread that may block. They return when it is recorded, not when it has
  // come true.
  //
  // `release` was verified and is `envelope`. kDenied below the floor or not newer than what is
  // active; kNotModified for the deployment that is here already, whatever became of it. Takes the
  // place of one that is not yet in trial; kConflict during trial and revert.
  Result<> Apply(const Release& release, std::string_view envelope, std::string_view deployment);
  // Ends what is not yet in trial, takes back what is. kConflict when nothing is in progress.
  Result<> Cancel(Code code, std::string_view reason);
  // What is not yet in trial waits for no window, lock or word. kConflict when nothing is.
  Result<> Proceed();
  // Ends the trial at once and well. kConflict when there is none, or before its apps have taken
  // the place of the old ones.
  Result<> Confirm();
  // Back to the release before. kConflict when there is none or something is in progress;
  // kNotModified when `expected` is active already (none(): whatever came before).
  Result<> Rollback(const Digest& expected);

  struct Status {
    UpdateState update;
    uint64_t number = 0;
    std::string waiting;   // for what, when it does not move on by itself
    bool settled = false;  // at rest, and the active release was made to run
  };
  Status Now() const;
  // A trial of an operating system, or a restart, is not over long after it had to be: what hangs
  // is to be reset by the watchdog.
  bool Overdue() const;
  // Empty when there is no such release here.
  std::optional<Release> FindRelease(const Digest& digest) const;
  // What was saved of the last release that was taken back, JSON; empty when there was none.
  std::string Evidence() const;

 private:
  // What a step began with. A wish meanwhile makes the step's result count for nothing.
  using Number = uint64_t;

  Updater(Environment environment, RecordFile record);

  // updater.cpp
  UpdateState Recovered() const;
  Result<> Enter(UpdateState next);                        // with mutex_ held
  Result<UpdateState> Confirmed(UpdateState state) const;  // with mutex_ held
  bool Move(Number from, UpdateState next);
  bool Stopping() const;
  void GiveUp(UpdateState state, Number number, Code code, std::string reason);
  void TakeBack(UpdateState state, Number number, Code code, std::string reason);

  // updater_os.cpp
  void CheckSlot(const UpdateState& state, Number number);
  void CheckWithoutSlots(const UpdateState& state, Number number);
  void FellBack(UpdateState state, Number number);
  bool GaveUpPrevious(const UpdateState& state, Number number);
  Result<std::optional<board::Slot>> WriteSlot(const UpdateState& state, const Release& release);
  void Arm(UpdateState state, Number number);
  void RestartDevice(const UpdateState& state, Number number);
  bool MustRestart(const UpdateState& state) const;
  void RenewBoots();
  void NoteDeadline(const UpdateState& state);

  // updater_steps.cpp
  void Run();
  void CountStart(UpdateState state, Number number);
  void Announce(const UpdateState& state, Number number);
  void Step(const UpdateState& state, Number number);
  void Arrange(const UpdateState& state, Number number, const Digest& goal);
  void Fetch(const UpdateState& state, Number number);
  void BeginWhenAllowed(UpdateState state, Number number);
  std::string Obstacle(const UpdateState& state);
  void BeginTrial(UpdateState state, Number number);
  void Watch(const UpdateState& state, Number number);
  void Revert(UpdateState state, Number number);
  void Tidy(const UpdateState& state);
  Result<> Switch(const Digest& from, const Digest& to);
  std::chrono::nanoseconds Spent(const UpdateState& state) const;
  void KeepSpent(const UpdateState& state, Number number);
  void Wait(Number number, std::chrono::milliseconds time);
  void Rest(Number number);
  void BackOff(Number number, std::string waiting);

  const Environment environment_;
  std::thread thread_;
  CancelFlag cancel_ = std::make_shared<std::atomic<bool>>(false);

  // Of the updater's thread.
  bool slot_checked_ = false;
  bool boots_renewed_ = false;
  bool leaves_ = false;  // the slot that runs, as soon as the verdict is on record
  bool start_counted_ = false;
  Number announced_ = 0;
  std::optional<Digest> running_;  // the release last switched to
  std::vector<UniqueFd> held_;     // the locks of its apps, from the decision to the switch
  std::optional<std::chrono::nanoseconds> healthy_since_;
  std::chrono::nanoseconds counted_{0};  // up to when the state's time is recorded
  std::chrono::milliseconds delay_{0};
  std::atomic<int64_t> overdue_at_ = 0;  // seconds of uptime; 0: never

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  RecordFile record_;
  ReleaseFiles files_;
  UpdateState state_;
  std::string waiting_;
  bool settled_ = false;
  bool switched_ = false;  // the apps of the trial have taken the place of the old ones
  bool stop_ = false;
};

}  // namespace wherry::ota
