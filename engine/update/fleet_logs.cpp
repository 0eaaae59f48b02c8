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

struct Fleet::Piece {
  std::string text;
  std::shared_ptr<LogReader> reader;  // what it goes on with
  std::string directory;
  bool settled = false;  // the container is that of the release which runs
};

// A change of the update's state.
void Fleet::NoteChange(int64_t from) {
  for (auto& [session, lease] : leases_) {
    if (lease.changed_from == 0)
      lease.changed_from = from;
  }
}

// The container that an update has put in the place of the app's is followed from its start, which
// in most cases the end of the other one precedes.
Result<Fleet::Piece> Fleet::ReadPiece(Updates& updates, const Lease& lease) {
  Piece piece{.text = {}, .reader = lease.reader, .directory = lease.directory};
  LogReader::Progress progress = TRY(lease.reader->Read(piece.text));
  if (lease.changed_from == 0 || progress == LogReader::Progress::kMore)
    return piece;
  bool on_the_way_back = updates.updater().Now().update.state == ota::State::kReverting;
  Result<ReleaseWorkload::Seen> seen = updates.LookAt(lease.app);
  if (on_the_way_back || !seen || seen->state == ContainerState::kCreated)
    return piece;
  piece.settled = true;
  if (seen->directory != lease.directory) {
    LogQuery query{.multiplexed = false, .since_nanos = lease.changed_from};
    piece.reader = TRY(LogReader::Open(seen->directory, query));
    piece.directory = std::move(seen->directory);
  }
  return piece;
}

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
  leases_[session] = {
      .app = app, .reader = {}, .directory = {}, .until = until, .number = ++lease_count_};
  OnWorker<Piece>(
      [updates = env_.updates, app, lines = parameters["lines"].integer()]() -> Result<Piece> {
        ReleaseWorkload::Seen seen = TRY(updates->LookAt(app));
        LogQuery query{.multiplexed = false, .tail = std::max<int64_t>(lines, 0)};
        Piece piece{.text = {}, .reader = {}, .directory = seen.directory};
        piece.reader = TRY(LogReader::Open(seen.directory, query));
        return piece;
      },
      [this, session, number = lease_count_, text = json.Take(),
       answer = std::move(answer)](Result<Piece> piece) mutable {
        auto lease = leases_.find(session);
        if (lease == leases_.end() || lease->second.number != number)
          return answer(Fail(Errc::kCancelled, "the lease was given back"));
        if (!piece) {
          leases_.erase(lease);
          return answer(std::unexpected(std::move(piece).error()));
        }
        lease->second.reader = std::move(piece->reader);
        lease->second.directory = std::move(piece->directory);
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
  Lease looked = lease->second;
  lease->second.changed_from = 0;  // what comes meanwhile is another change
  int64_t from = looked.changed_from;
  OnWorker<Piece>(
      [updates = env_.updates, looked = std::move(looked)] { return ReadPiece(*updates, looked); },
      [this, session, number, from](Result<Piece> piece) {
        auto found = leases_.find(session);
        bool goes_on = found != leases_.end() && found->second.number == number;
        if (goes_on && from != 0 && !(piece && piece->settled))
          found->second.changed_from = from;
        if (goes_on && piece) {
          found->second.reader = std::move(piece->reader);
          found->second.directory = std::move(piece->directory);
        }
        for (size_t at = 0; piece && at < piece->text.size(); at += kMaxChunk)
          agent_->Tell(Cat("log/", session), piece->text.substr(at, kMaxChunk));
        env_.loop->After(kLookPeriod, [this, session, number, alive = std::weak_ptr(alive_)] {
          if (!alive.expired())
            ReadLog(session, number);
        });
      });
}

}  // namespace wherry::engine
