#include "ota/update_state.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace wherry::ota {

namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 10> kStates = {
    "NONE",      "FETCHING", "VERIFIED", "TRIAL",    "CONFIRMED",
    "REVERTING", "REVERTED", "REJECTED", "CANCELED", "BOTH_BAD"};
constexpr std::array<std::string_view, 10> kCodes = {
    "",        "E_HEALTH", "E_DEADLINE", "E_STARTS",    "E_FETCH",
    "E_SPACE", "E_CREATE", "E_SWITCH",   "E_REQUESTED", "E_REVOKED"};
constexpr std::array<bool, kStates.size()> kAtRest = {true,  false, false, false, true,
                                                      false, true,  true,  true,  true};
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
  return state;
}

}  // namespace wherry::ota
