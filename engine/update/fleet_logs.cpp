// The log of an app as it is written, for as long as somebody has asked for it. docs/mqtt.md,
// "Logs".
#include <algorithm>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/log_reader.h"
#include "engine/update/fleet.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxLeases = 4;
constexpr int64_t kMaxLeaseSeconds = 600;
constexpr std::chrono::milliseconds kLookPeriod{500};
constexpr size_t kMaxChunk = 16 << 10;

}  // namespace

void Fleet::LeaseLog(JsonValue parameters, Answer<std::string> answer) {
  std::string session(parameters["session"].str());
  if (auto checked = CheckTopicLevel(session); !checked)
    return answer(std::unexpected(std::move(checked).error().Wrap("session")));
  int64_t seconds = parameters["seconds"] ? parameters["seconds"].integer() : kMaxLeaseSeconds;
  seconds = std::clamp<int64_t>(seconds, 0, kMaxLeaseSeconds);
  std::string app(parameters["app"].str());
  JsonWriter json;
  json.Object().Field("topic", Cat("log/", session)).Field("seconds", seconds).End();
  auto found = leases_.find(session);
  if (seconds == 0 && found != leases_.end())
    leases_.erase(found);
  if (seconds == 0)
    return answer(json.Take());
  auto until = Uptime() + std::chrono::seconds(seconds);
  if (found != leases_.end()) {
    if (found->second.app != app)
      return answer(Fail(Errc::kConflict,
                         Cat("session ", session, " is for the log of app ", found->second.app)));
    found->second.until = until;
    return answer(json.Take());
  }
  if (leases_.size() == kMaxLeases)
    return answer(Fail(Errc::kBusy, Cat("more than ", kMaxLeases, " logs are followed")));
  leases_[session] = {app, nullptr, until, ++lease_count_};
  OnWorker<std::shared_ptr<LogReader>>(
      [updates = env_.updates, app,
       lines = parameters["lines"].integer()]() -> Result<std::shared_ptr<LogReader>> {
        ReleaseWorkload::Seen seen = TRY(updates->LookAt(app));
        LogQuery query;
        query.multiplexed = false;
        query.tail = std::max<int64_t>(lines, 0);
        return std::shared_ptr<LogReader>(TRY(LogReader::Open(seen.directory, query)));
      },
      [this, session, number = lease_count_, text = json.Take(),
       answer = std::move(answer)](Result<std::shared_ptr<LogReader>> reader) mutable {
        auto lease = leases_.find(session);
        if (lease == leases_.end() || lease->second.number != number)
          return answer(Fail(Errc::kCancelled, "the lease was given back"));
        if (!reader) {
          leases_.erase(lease);
          return answer(std::unexpected(std::move(reader).error()));
        }
        lease->second.reader = *std::move(reader);
        answer(std::move(text));
        ReadLog(session, number);
      });
}

void Fleet::ReadLog(const std::string& session, uint64_t number) {
  auto lease = leases_.find(session);
  if (lease == leases_.end() || lease->second.number != number)
    return;
  if (Uptime() >= lease->second.until) {
    leases_.erase(lease);
    return;
  }
  OnWorker<std::string>(
      [reader = lease->second.reader]() -> Result<std::string> {
        std::string text;
        TRY(reader->Read(text));
        return text;
      },
      [this, session, number](Result<std::string> text) {
        for (size_t at = 0; text && at < text->size(); at += kMaxChunk)
          agent_->Tell(Cat("log/", session), text->substr(at, kMaxChunk));
        env_.loop->After(kLookPeriod, [this, session, number, alive = std::weak_ptr(alive_)] {
          if (!alive.expired())
            ReadLog(session, number);
        });
      });
}

}  // namespace wherry::engine
