#include "net/mqtt/properties.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::mqtt {

namespace {

enum class Kind : uint8_t { kFlag, kByte, kU16, kU32, kVarint, kText, kBinary, kPair };

constexpr uint32_t In(PacketType type) {
  return 1u << static_cast<unsigned>(type);
}

constexpr uint32_t kWill = In(PacketType::kWill);
constexpr uint32_t kConnect = In(PacketType::kConnect);
constexpr uint32_t kConnack = In(PacketType::kConnack);
constexpr uint32_t kPublish = In(PacketType::kPublish);
constexpr uint32_t kSubscribe = In(PacketType::kSubscribe);
constexpr uint32_t kDisconnect = In(PacketType::kDisconnect);
constexpr uint32_t kAnswers = kConnack | In(PacketType::kPuback) | In(PacketType::kSuback) |
                              In(PacketType::kUnsuback) | kDisconnect;

struct Row {
  Property property;
  Kind kind;
  uint32_t packets;
  bool nonzero = false;  // 0 is a protocol error
};

// Table 2-4, without AUTH.
constexpr Row kRows[] = {
    {Property::kPayloadFormat, Kind::kFlag, kPublish | kWill},
    {Property::kMessageExpiry, Kind::kU32, kPublish | kWill},
    {Property::kContentType, Kind::kText, kPublish | kWill},
    {Property::kResponseTopic, Kind::kText, kPublish | kWill},
    {Property::kCorrelationData, Kind::kBinary, kPublish | kWill},
    {Property::kSubscriptionId, Kind::kVarint, kPublish | kSubscribe, true},  // 3.3.2.3.8
    {Property::kSessionExpiry, Kind::kU32, kConnect | kConnack | kDisconnect},
    {Property::kAssignedClientId, Kind::kText, kConnack},
    {Property::kServerKeepAlive, Kind::kU16, kConnack},
    {Property::kAuthMethod, Kind::kText, kConnect | kConnack},
    {Property::kAuthData, Kind::kBinary, kConnect | kConnack},
    {Property::kRequestProblemInfo, Kind::kFlag, kConnect},
    {Property::kWillDelay, Kind::kU32, kWill},
    {Property::kRequestResponseInfo, Kind::kFlag, kConnect},
    {Property::kResponseInfo, Kind::kText, kConnack},
    {Property::kServerReference, Kind::kText, kConnack | kDisconnect},
    {Property::kReasonString, Kind::kText, kAnswers},
    {Property::kReceiveMaximum, Kind::kU16, kConnect | kConnack, true},  // 3.2.2.3.3
    {Property::kTopicAliasMaximum, Kind::kU16, kConnect | kConnack},
    {Property::kTopicAlias, Kind::kU16, kPublish, true},  // 3.3.2.3.4
    {Property::kMaximumQos, Kind::kFlag, kConnack},       // 3.2.2.3.4: 0 or 1
    {Property::kRetainAvailable, Kind::kFlag, kConnack},
    {Property::kUser, Kind::kPair,
     kWill | kConnect | kPublish | kSubscribe | In(PacketType::kUnsubscribe) | kAnswers},
    {Property::kMaximumPacketSize, Kind::kU32, kConnect | kConnack, true},  // 3.2.2.3.6
    {Property::kWildcardAvailable, Kind::kFlag, kConnack},
    {Property::kSubscriptionIdAvailable, Kind::kFlag, kConnack},
    {Property::kSharedAvailable, Kind::kFlag, kConnack},
};

constexpr size_t kMostUser = 32;

const Row* Find(uint32_t id) {
  for (const Row& row : kRows) {
    if (static_cast<uint32_t>(row.property) == id)
      return &row;
  }
  return nullptr;
}

Result<uint32_t> ReadNumber(Kind kind, WireReader& in) {
  switch (kind) {
    case Kind::kFlag:
    case Kind::kByte:
      return TRY(in.U8());
    case Kind::kU16:
      return TRY(in.U16());
    case Kind::kU32:
      return in.U32();
    default:
      return in.Varint();
  }
}

void WriteNumber(Kind kind, uint32_t value, WireWriter& out) {
  switch (kind) {
    case Kind::kFlag:
    case Kind::kByte:
      return out.U8(static_cast<uint8_t>(value));
    case Kind::kU16:
      return out.U16(static_cast<uint16_t>(value));
    case Kind::kU32:
      return out.U32(value);
    default:
      return out.Varint(value);
  }
}

}  // namespace

std::optional<uint32_t> Properties::number(Property property) const {
  auto found = numbers_.find(property);
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::string_view Properties::text(Property property) const {
  auto found = texts_.find(property);
  return found == texts_.end() ? std::string_view() : std::string_view(found->second);
}

bool Properties::has(Property property) const {
  return numbers_.contains(property) || texts_.contains(property);
}

std::string_view Properties::user(std::string_view name) const {
  for (const UserProperty& property : user_) {
    if (property.name == name)
      return property.value;
  }
  return {};
}

void Properties::AddUser(std::string name, std::string value) {
  user_.push_back({std::move(name), std::move(value)});
}

void Properties::Write(PacketType type, WireWriter& out) const {
  WireWriter inner;
  for (const Row& row : kRows) {
    if ((row.packets & In(type)) == 0)
      continue;
    auto id = static_cast<uint8_t>(row.property);
    if (auto value = number(row.property)) {
      inner.U8(id);
      WriteNumber(row.kind, *value, inner);
    }
    if (auto found = texts_.find(row.property); found != texts_.end()) {
      inner.U8(id);
      inner.Text(found->second);
    }
  }
  for (const UserProperty& property : user_) {
    inner.U8(static_cast<uint8_t>(Property::kUser));
    inner.Text(property.name);
    inner.Text(property.value);
  }
  out.Varint(static_cast<uint32_t>(inner.bytes().size()));
  out.Raw(inner.bytes());
}

Result<> Properties::ReadOne(PacketType type, WireReader& in) {
  uint32_t id = TRY(in.Varint());
  const Row* row = Find(id);
  if (row == nullptr || (row->packets & In(type)) == 0)
    return Malformed(Cat("a property ", id, " that may not be there"));  // 2.2.2.2
  bool repeats = row->kind == Kind::kPair || row->kind == Kind::kVarint;
  if (!repeats && has(row->property))
    return ProtocolError(Cat("property ", id, " twice"));  // 2.2.2.2
  if (row->kind == Kind::kPair) {
    std::string_view name = TRY(in.Text());
    std::string_view value = TRY(in.Text());
    if (user_.size() == kMostUser)
      return ProtocolError("more user properties than are taken");
    AddUser(std::string(name), std::string(value));
    return {};
  }
  if (row->kind == Kind::kText || row->kind == Kind::kBinary) {
    std::string_view text = TRY(row->kind == Kind::kText ? in.Text() : in.Binary());
    bool topic = row->property == Property::kResponseTopic;
    if (topic && !IsTopicName(text))
      return ProtocolError("a response topic with wildcards");  // 3.3.2-14
    Set(row->property, text);
    return {};
  }
  uint32_t value = TRY(ReadNumber(row->kind, in));
  if ((row->nonzero && value == 0) || (row->kind == Kind::kFlag && value > 1))
    return ProtocolError(Cat("property ", id, " with the value ", value));
  Set(row->property, value);
  return {};
}

Result<Properties> Properties::Read(PacketType type, WireReader& in) {
  uint32_t size = TRY(in.Varint());
  std::string_view bytes = TRY(in.Take(size));
  WireReader inner(bytes);
  Properties properties;
  while (!inner.empty())
    TRY(properties.ReadOne(type, inner));
  return properties;
}

}  // namespace wherry::mqtt
