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
  if (text)
    outbox->Load(*text);
  else if (text.error().code() != Errc::kNotFound)
    TRY(RemoveTree(outbox->path_));  // no file, or one that is not ours
  TRY(outbox->Rewrite());
  return outbox;
}

void Outbox::Load(std::string_view text) {
  for (std::string_view line : Split(text, '\n')) {
    Result<JsonDocument> document = ParseLine(line);
    if (!document)
      return;
    const JsonDocument& value = *document;
    auto source = static_cast<uint64_t>(value["source"].integer());
    source_ = std::max(source_, source);
    if (value["told"]) {
      told_ = newest_ = static_cast<uint64_t>(value["told"].integer());
      continue;
    }
    newest_ = static_cast<uint64_t>(value["n"].integer());
    events_.push_back({newest_, source, value["last"].boolean(), std::string(value["topic"].str()),
                       std::string(value["payload"].str())});
  }
}

// As short as it can be.
Result<> Outbox::Rewrite() {
  std::string text = HeadLine(events_.empty() ? newest_ : told_, source_);
  for (const OutboxEvent& event : events_)
    text += EventLine(event);
  TRY(ReplaceFile(path_, text, kFileMode, Durability::kPersistent));
  file_ = TRY(wherry::Open(path_, O_WRONLY | O_APPEND));
  return {};
}

Result<> Outbox::Append(const OutboxEvent& event) {
  TRY(WriteAll(file_.get(), EventLine(event), path_));
  if (fdatasync(file_.get()) != 0)
    return FailSys("fdatasync", path_);
  return {};
}

std::vector<OutboxEvent> Outbox::After(uint64_t number) const {
  std::lock_guard lock(mutex_);
  auto first = std::ranges::find_if(events_, [&](const auto& e) { return e.number > number; });
  return {first, events_.end()};
}

Result<> Outbox::Add(OutboxEvent event) {
  std::lock_guard file_lock(file_mutex_);
  if (event.source != 0 && event.source <= source_)
    return {};
  event.number = ++newest_;
  event.payload.insert(1, Cat("\"n\":", event.number, event.payload == "{}" ? "" : ","));
  source_ = std::max(source_, event.source);
  Result<> kept = Append(event);
  std::unique_lock lock(mutex_);
  events_.push_back(std::move(event));
  if (events_.size() <= kMaxEvents)
    return kept;
  auto spare = std::ranges::find(events_, false, &OutboxEvent::last);
  events_.erase(spare == events_.end() ? events_.begin() : spare);
  lock.unlock();
  return Rewrite();
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
  return Rewrite();
}

}  // namespace wherry::ota
