// Updates of the device as the API sees them: which keys are trusted, what is in progress, what has
// been. Joins the updater (ota) with the engine's containers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "engine/config.h"
#include "engine/update/os_update.h"
#include "engine/update/release_workload.h"
#include "ota/updater.h"

namespace wherry::engine {

class Updates {
 public:
  // All outlive this object.
  struct Environment {
    const Config* config;
    Loop* loop;
    Containers* containers;
    Execs* execs;
    Images* images;
    Volumes* volumes;
    Networks* networks;
  };
  static Result<std::unique_ptr<Updates>> Open(const Environment& environment);
  ~Updates();
  Updates(const Updates&) = delete;
  Updates& operator=(const Updates&) = delete;

  // Before Start: called with each report too, on the updater's thread.
  void Listen(std::function<void(const ota::Report&)> listener) { listener_ = std::move(listener); }
  // After the containers were found again.
  void Start();
  // When the loop has ended.
  void Stop();

  // Worker, as all that follow. A signed release, or the reference of the artifact that has it;
  // `deployment` names the attempt, empty: one is made up. The digest of the release. kDenied
  // without a key that has signed it.
  Result<Digest> Apply(std::string_view release, std::string deployment);
  // The same from a bundle (bundle.h): nothing of it is looked at before its release was verified,
  // nothing of it stays when something is wrong with it.
  Result<Digest> ApplyBundle(ByteSource& bundle, std::string deployment, const CancelFlag& cancel);
  ota::Updater& updater() { return *updater_; }

  // The slot that runs, where there are two.
  std::optional<board::Slot> BootedSlot() const;
  // docs/updates.md has the members.
  std::string StatusJson();
  // The same with what TellFleet was last given, for those who ask here.
  std::string LocalStatusJson();
  // How it is with the fleet's broker: a sentence. Any thread.
  void TellFleet(std::string text);
  // The container of an app of the active release. kNotFound for one that it has not.
  Result<ReleaseWorkload::Seen> LookAt(std::string_view app);
  // The outcomes of the last updates, newest first.
  std::string HistoryJson() const;

 private:
  explicit Updates(const Environment& environment);
  Result<std::string> Pull(std::string_view reference) const;
  Result<ota::Release> Verify(std::string_view envelope) const;
  Result<Digest> Take(const ota::Release& release, std::string_view envelope,
                      std::string deployment);
  void OpenSlots();
  Result<> CheckSupported(const ota::Release& release) const;
  void OnReport(const ota::Report& report);
  void Remember(const ota::Report& report);
  void WriteRelease(JsonWriter& json, std::string_view key, const Digest& digest);
  void WriteApps(JsonWriter& json, const Digest& active);

  Environment env_;
  std::atomic<bool> ended_ = false;
  ReleaseWorkload workload_;
  std::unique_ptr<OsUpdate> os_;  // null: no release with an operating system is taken
  std::string no_os_;             // why
  std::unique_ptr<ota::Updater> updater_;
  std::function<void(const ota::Report&)> listener_;
  mutable std::mutex history_mutex_;
  std::mutex fleet_mutex_;
  std::string fleet_;  // guarded by fleet_mutex_
};

}  // namespace wherry::engine
