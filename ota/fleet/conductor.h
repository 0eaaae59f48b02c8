// Carries a rollout out: opens its waves, stops it when too many devices fail. What it knows is
// retained at the broker before it acts on it; a controller that is killed is followed by the next
// one. Of two at once the broker ends the older connection (both have the group's client
// identifier), and the number of the newer one is higher. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/loop.h"
#include "ota/desired.h"
#include "ota/fleet/rollout.h"
#include "ota/fleet/session.h"

namespace wherry::ota {

class Conductor {
 public:
  enum class Wish : uint8_t {
    kRun,     // begin, or go on with what was begun with the same plan
    kResume,  // go on with what is there, paused or not
    kPause,   // nobody begins any more
    kAbort,   // revoked
  };
  struct Options {
    FleetSession::Options session;  // but the client's identifier
    Wish wish = Wish::kRun;
    RolloutPlan plan;     // of kRun
    std::string release;  // of kRun: the signed document
    std::string reason;   // of kPause and kAbort
  };
  struct Handlers {
    // Something of the rollout, its devices or the connection is new.
    std::function<void(const Conductor&)> changed;
    std::function<void(const Error&)> lost;
    // Once, at the end: of the rollout, of a wish that is fulfilled, or by an error.
    std::function<void(Result<>)> done;
  };
  // Loop and key outlive it.
  static Result<std::unique_ptr<Conductor>> Create(Loop* loop, const PrivateKey* key,
                                                   Options options, Handlers handlers);
  ~Conductor();
  Conductor(const Conductor&) = delete;
  Conductor& operator=(const Conductor&) = delete;

  void Start() { Connect(); }

  const Rollout& rollout() const { return *rollout_; }
  bool begun() const { return rollout_.has_value(); }
  const FleetView& view() const { return session_->view(); }

 private:
  Conductor(Loop* loop, const PrivateKey* key, Options options, Handlers handlers);
  void Connect();
  void OnLost(const Error& error);
  void OnSynced();
  Result<> Adopt();
  Result<> Begin(std::optional<Rollout> before);
  Result<> Continue(Rollout before);
  Result<> TakeDesired();
  void Look();
  void NoteRefusals();
  Result<std::string> Sign(std::string_view type, std::string payload) const;
  Result<> PublishAll();
  Result<> PublishDesired();
  void Told(const Result<>& result);
  void End(Result<> result);

  Loop* loop_;
  const PrivateKey* key_;
  Options options_;
  Handlers handlers_;
  std::vector<PublicKey> keys_;
  std::unique_ptr<FleetSession> session_;  // of this connection
  std::optional<Rollout> rollout_;
  Desired desired_;        // as it was published last
  std::string published_;  // the signed document
  Loop::TimerId timer_ = 0;
  Loop::TimerId reconnect_ = 0;
  struct {
    uint64_t ended = 0;
    std::chrono::nanoseconds at{};
  } kept_;               // what was written down last, and when
  uint64_t untold_ = 0;  // publications that are not acknowledged
  bool adopted_ = false;
  bool ended_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

// The payload of a group's "desired": signed, larger than what was there. kInvalid when it is more
// than devices take.
Result<std::string> SignDesired(const PrivateKey& key, const Desired& desired);
// A number above `before` that grows even when a broker has lost what was retained.
uint64_t NextSequence(uint64_t before);

}  // namespace wherry::ota
