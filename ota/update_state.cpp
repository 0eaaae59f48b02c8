#include "ota/update_state.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace wherry::ota {

namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 12> kStates = {
    "NONE",      "FETCHING",  "VERIFIED", "WAITING",  "ARMED",    "TRIAL",
    "CONFIRMED", "REVERTING", "REVERTED", "REJECTED", "CANCELED", "BOTH_BAD"};
constexpr std::array<std::string_view, 11> kCodes = {
    "",         "E_HEALTH", "E_DEADLINE",  "E_STARTS",  "E_FETCH",    "E_SPACE",
    "E_CREATE", "E_SWITCH", "E_REQUESTED", "E_REVOKED", "E_FELL_BACK"};
constexpr std::array<bool, kStates.size()> kAtRest = {true, false, false, false, false, false,
                                                      true, false, true,  true,  true,  true};
// The record has 4 KiB for everything.
constexpr size_t kMaxReason = 1024;

template <class T, size_t N>
Result<T> Find(const std::array<std::string_view, N>& names, std::string_view name) {
  auto found = std::ranges::find(names, name);
  if (found == names.end())
    return Fail(Errc::kInvalid, Cat("update record: \"", name, "\" is not known"));
  return static_cast<T>(found - names.begin());
}

std::string HexOrNone(const Digest& digest) {
  return digest.none() ? "" : digest.hex();
}

std::string SlotOrNone(std::optional<board::Slot> slot) {
  return slot ? std::string(1, board::Letter(*slot)) : std::string();
}

std::optional<board::Slot> ParseSlot(JsonValue value) {
  if (value.str().empty())
    return std::nullopt;
  return value.str() == "B" ? board::Slot::kB : board::Slot::kA;
}

Result<Digest> ParseHexOrNone(JsonValue value) {
  if (value.str().empty())
    return Digest();
  return Digest::ParseHex(value.str());
}

}  // namespace

std::string_view StateName(State state) {
  return kStates[static_cast<size_t>(state)];
}
std::string_view CodeName(Code code) {
  return kCodes[static_cast<size_t>(code)];
}

bool UpdateState::AtRest() const {
  return kAtRest[static_cast<size_t>(state)];
}

std::string UpdateState::ToJson() const {
  JsonWriter writer;
  writer.Object()
      .Field("state", StateName(state))
      .Field("deployment", deployment)
      .Field("active", HexOrNone(active))
      .Field("previous", HexOrNone(previous))
      .Field("candidate", HexOrNone(candidate))
      .Field("starts", starts)
      .Field("floor", floor)
      .Field("spent_s", spent_s)
      .Field("code", CodeName(code))
      .Field("reason", std::string_view(reason).substr(0, kMaxReason))
      .Field("slot", SlotOrNone(slot))
      .Field("previous_slot", SlotOrNone(previous_slot))
      .Field("next_slot", SlotOrNone(next_slot))
      .Field("boot", boot)
      .Field("proceeds", proceeds)
      .End();
  return writer.Take();
}

Result<UpdateState> UpdateState::Parse(std::string_view json) {
  JsonDocument document = TRY(JsonDocument::Parse(json, "update record"));
  UpdateState state;
  state.state = TRY(Find<State>(kStates, document["state"].str()));
  state.deployment = document["deployment"].str();
  state.active = TRY(ParseHexOrNone(document["active"]));
  state.previous = TRY(ParseHexOrNone(document["previous"]));
  state.candidate = TRY(ParseHexOrNone(document["candidate"]));
  state.starts = static_cast<uint32_t>(document["starts"].integer());
  state.floor = static_cast<uint64_t>(document["floor"].integer());
  state.spent_s = static_cast<uint64_t>(document["spent_s"].integer());
  state.code = TRY(Find<Code>(kCodes, document["code"].str()));
  state.reason = document["reason"].str();
  state.slot = ParseSlot(document["slot"]);
  state.previous_slot = ParseSlot(document["previous_slot"]);
  state.next_slot = ParseSlot(document["next_slot"]);
  state.boot = document["boot"].str();
  state.proceeds = document["proceeds"].boolean();
  return state;
}

}  // namespace wherry::ota
