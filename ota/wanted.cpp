#include "ota/wanted.h"

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr uint32_t kFileMode = 0600;
constexpr uint32_t kDirMode = 0700;

}  // namespace

WantedMarks::WantedMarks(std::string path) : path_(std::move(path)) {
  Result<std::string> text = ReadFile(path_);
  if (!text)
    return;
  Result<JsonDocument> document = JsonDocument::Parse(*text, path_);
  if (!document) {
    LogWarning("fleet: ", document.error().message(), ", ignoring");
    return;
  }
  for (JsonValue mark : document->root()) {
    marks_[std::string(mark.key())] = {static_cast<uint64_t>(mark["rseq"].integer()),
                                       std::string(mark["settled"].str())};
  }
}

Result<> WantedMarks::Keep() {
  JsonWriter json;
  json.Object();
  for (const auto& [topic, mark] : marks_)
    json.Key(topic).Object().Field("rseq", mark.sequence).Field("settled", mark.settled).End();
  json.End();
  TRY(MakeDirs(path_.substr(0, path_.rfind('/')), kDirMode));
  return ReplaceFile(path_, json.text(), kFileMode, Durability::kPersistent);
}

Result<WantedMarks::Taken> WantedMarks::Take(const std::string& topic, std::string_view envelope,
                                             std::span<const PublicKey> keys) {
  Taken taken;
  taken.desired = TRY(Desired::Open(envelope, keys, topic));
  Mark& mark = marks_[topic];
  uint64_t sequence = taken.desired.sequence;
  if (sequence < mark.sequence)
    return Fail(Errc::kDenied, Cat(topic, " has number ", sequence, ", and ", mark.sequence,
                                   " was there before: ignored"));
  taken.settled = mark.settled == taken.desired.deployment;
  if (sequence == mark.sequence)
    return taken;
  mark.sequence = sequence;
  TRY(Keep());
  return taken;
}

Result<> WantedMarks::Settle(const std::string& topic, std::string_view deployment) {
  marks_[topic].settled = deployment;
  return Keep();
}

}  // namespace wherry::ota
