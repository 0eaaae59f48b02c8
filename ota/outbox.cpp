#include "ota/outbox.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kCheck = 16;
constexpr uint32_t kFileMode = 0600;
constexpr uint32_t kDirMode = 0700;

std::string Line(std::string_view json) {
  return Cat(std::string_view(Digest::Of(json).hex()).substr(0, kCheck), " ", json, "\n");
}

std::string EventLine(const OutboxEvent& event) {
  JsonWriter json;
  json.Object().Field("n", event.number).Field("source", event.source);
  json.Field("last", event.last).Field("topic", event.topic);
  json.Field("payload", event.payload).End();
  return Line(json.text());
}

std::string HeadLine(uint64_t told, uint64_t source) {
  JsonWriter json;
  json.Object().Field("told", told).Field("source", source).End();
  return Line(json.text());
}

Result<JsonDocument> ParseLine(std::string_view line) {
  std::string_view json = line.substr(std::min(line.size(), kCheck + 1));
  if (line.size() <= kCheck || Digest::Of(json).hex().substr(0, kCheck) != line.substr(0, kCheck))
    return Fail(Errc::kCorrupt, "outbox: a damaged line");
  return JsonDocument::Parse(json, "outbox");
}

}  // namespace

Result<std::unique_ptr<Outbox>> Outbox::Open(std::string path) {
  std::unique_ptr<Outbox> outbox(new Outbox(std::move(path)));
  Result<std::string> text = ReadFile(outbox->path_, kMaxFile);
  if (text && outbox->Load(*text))
    outbox->file_ = TRY(wherry::Open(outbox->path_, O_WRONLY | O_APPEND));
  else if (!text && text.error().code() != Errc::kNotFound)
    TRY(RemoveTree(outbox->path_));  // one that is not ours
  return outbox;
}

// False when the end is damaged: what was appended to it would not be found again.
bool Outbox::Load(std::string_view text) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    Result<JsonDocument> document = ParseLine(text.substr(0, end));
    if (!document || end == text.npos)
      return false;
    text.remove_prefix(end + 1);
    const JsonDocument& value = *document;
    auto source = static_cast<uint64_t>(value["source"].integer());
    if (source != 0)
      source_ = source;
    if (value["told"]) {
      told_ = newest_ = static_cast<uint64_t>(value["told"].integer());
      continue;
    }
    newest_ = static_cast<uint64_t>(value["n"].integer());
    events_.push_back({newest_, source, value["last"].boolean(), std::string(value["topic"].str()),
                       std::string(value["payload"].str())});
  }
  return true;
}

// As short as it can be.
Result<> Outbox::Rewrite(const std::deque<OutboxEvent>& events) {
  file_.Reset();
  std::string text = HeadLine(events.empty() ? newest_ : told_, source_);
  for (const OutboxEvent& event : events)
    text += EventLine(event);
  TRY(MakeDirs(path_.substr(0, path_.rfind('/')), kDirMode));
  TRY(ReplaceFile(path_, text, kFileMode, Durability::kPersistent));
  file_ = TRY(wherry::Open(path_, O_WRONLY | O_APPEND));
  return {};
}

Result<> Outbox::Append(const OutboxEvent& event) {
  Result<> written = WriteAll(file_.get(), EventLine(event), path_);
  if (written && fdatasync(file_.get()) != 0)
    written = FailSys("fdatasync", path_);
  if (!written)
    file_.Reset();
  return written;
}

std::vector<OutboxEvent> Outbox::After(uint64_t number) const {
  std::lock_guard lock(mutex_);
  auto first = std::ranges::find_if(events_, [&](const auto& e) { return e.number > number; });
  return {first, events_.end()};
}

// Nobody sees the event before it is on flash: after a cut of the power its number comes again.
Result<> Outbox::Add(OutboxEvent event) {
  std::lock_guard file_lock(file_mutex_);
  if (event.source != 0 && event.source == source_)
    return {};
  event.number = ++newest_;
  event.payload.insert(1, Cat("\"n\":", event.number, event.payload == "{}" ? "" : ","));
  if (event.source != 0)
    source_ = event.source;
  std::deque<OutboxEvent> events = events_;
  events.push_back(event);
  bool full = events.size() > kMaxEvents;
  if (full) {
    auto spare = std::ranges::find(events, false, &OutboxEvent::last);
    events.erase(spare == events.end() ? events.begin() : spare);
  }
  Result<> kept = full || !file_ ? Rewrite(events) : Append(event);
  std::lock_guard lock(mutex_);
  events_ = std::move(events);
  return kept;
}

// Only when nothing is left is the file written: until then a power cut repeats what was told,
// which the number tells.
Result<> Outbox::Remove(uint64_t number) {
  std::lock_guard file_lock(file_mutex_);
  {
    std::lock_guard lock(mutex_);
    size_t before = events_.size();
    while (!events_.empty() && events_.front().number <= number) {
      told_ = events_.front().number;
      events_.pop_front();
    }
    if (events_.size() == before || !events_.empty())
      return {};
  }
  return Rewrite({});
}

}  // namespace wherry::ota
