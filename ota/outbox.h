// What happened to updates and was not yet told: events in the order of their numbers, on flash, so
// that neither a lost link nor a power cut loses or repeats one. Bounded: the oldest events that
// are only progress make room, ends of updates stay. Thread-safe; Add and Remove block on flash.
//
// The file: lines "CHECK JSON", CHECK being the first 16 hex digits of the JSON's SHA-256; the
// first says which number and which source were the last that are no longer in it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::ota {

struct OutboxEvent {
  uint64_t number = 0;  // given by the outbox, grows; the member "n" of the payload
  uint64_t source = 0;  // of the updater's report it comes from; 0: of none
  bool last = false;    // an end of an update: never dropped for others
  std::string topic;    // below the device's
  std::string payload;  // a JSON object
};

class Outbox {
 public:
  static constexpr size_t kMaxEvents = 128;

  // The file is made by the first Add. A damaged end of it is dropped: it is what a power cut was
  // in the middle of writing.
  static Result<std::unique_ptr<Outbox>> Open(std::string path);

  // On flash when it returns, with its number; one with the source of the one before is dropped: a
  // report comes again after a restart. After an error it is kept in memory, and written with the
  // next one.
  Result<> Add(OutboxEvent event);
  // Those after this number, in their order.
  std::vector<OutboxEvent> After(uint64_t number) const;
  // Told: this one and all before it.
  Result<> Remove(uint64_t number);

 private:
  explicit Outbox(std::string path) : path_(std::move(path)) {}
  bool Load(std::string_view text);
  Result<> Rewrite(const std::deque<OutboxEvent>& events);
  Result<> Append(const OutboxEvent& event);

  std::string path_;
  std::mutex file_mutex_;     // of who writes; guards all but events_, which it may read too
  mutable std::mutex mutex_;  // guards events_, never held while the device is waited for
  UniqueFd file_;             // at its end; none: the next write writes all
  std::deque<OutboxEvent> events_;
  uint64_t told_ = 0;    // up to this
  uint64_t newest_ = 0;  // number that was given last
  uint64_t source_ = 0;  // that was added last
};

}  // namespace wherry::ota
