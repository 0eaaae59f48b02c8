#include "net/mqtt/reason.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::mqtt {

namespace {

struct Row {
  uint8_t reason;
  Errc code;
  std::string_view text;
};

constexpr Row kRows[] = {
    {0x00, Errc::kUnavailable, "the end of the connection"},
    {0x80, Errc::kUnavailable, "no reason is given"},
    {0x81, Errc::kInvalid, "it could not read a packet"},
    {0x82, Errc::kInvalid, "a packet was against the protocol"},
    {0x83, Errc::kUnavailable, "it does not accept that"},
    {0x84, Errc::kUnsupported, "it does not speak this version of MQTT"},
    {0x85, Errc::kInvalid, "the client identifier is not valid; see what the broker allows"},
    {0x86, Errc::kUnauthorized, "user name or password are wrong"},
    {0x87, Errc::kDenied, "not authorized; see the broker's access rules for this device"},
    {0x88, Errc::kUnavailable, "the server is not available"},
    {0x89, Errc::kUnavailable, "the server is busy"},
    {0x8a, Errc::kDenied, "this device is banned; ask the broker's administrator"},
    {0x8b, Errc::kUnavailable, "the server is shutting down"},
    {0x8c, Errc::kUnsupported, "the way of authentication is not supported"},
    {0x8d, Errc::kTimeout, "nothing was heard of this device for too long"},
    {0x8e, Errc::kConflict,
     "another client has connected with the same identifier; give each device its own"},
    {0x8f, Errc::kInvalid, "the topic filter is not accepted"},
    {0x90, Errc::kInvalid, "the topic is not accepted"},
    {0x91, Errc::kInternal, "the packet identifier is in use"},
    {0x93, Errc::kInternal, "more messages were sent at once than it takes"},
    {0x94, Errc::kInternal, "a topic alias is not valid"},
    {0x95, Errc::kNoSpace, "a packet is larger than it takes"},
    {0x96, Errc::kUnavailable, "messages come too fast"},
    {0x97, Errc::kUnavailable, "a quota is used up"},
    {0x98, Errc::kDenied, "an administrator ended it"},
    {0x99, Errc::kInvalid, "the payload is not of the format that is said"},
    {0x9a, Errc::kUnsupported, "it does not keep retained messages"},
    {0x9b, Errc::kUnsupported, "it does not support this QoS"},
    {0x9c, Errc::kUnavailable, "another server is to be used"},
    {0x9d, Errc::kUnavailable, "the server has moved"},
    {0x9e, Errc::kUnsupported, "shared subscriptions are not supported"},
    {0x9f, Errc::kUnavailable, "connections come too fast"},
    {0xa0, Errc::kUnavailable, "the connection has been there for as long as is allowed"},
    {0xa1, Errc::kUnsupported, "subscription identifiers are not supported"},
    {0xa2, Errc::kUnsupported, "subscriptions with wildcards are not supported"},
};

const Row* Find(uint8_t reason) {
  for (const Row& row : kRows) {
    if (row.reason == reason)
      return &row;
  }
  return nullptr;
}

bool Printable(std::string_view text) {
  constexpr size_t kMost = 200;
  return !text.empty() && text.size() <= kMost &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

std::string_view ReasonText(uint8_t reason) {
  const Row* row = Find(reason);
  return row == nullptr ? "an unknown reason" : row->text;
}

Error ReasonError(std::string_view what, uint8_t reason, std::string_view detail) {
  const Row* row = Find(reason);
  std::string text = Cat(what, ": ", ReasonText(reason));
  if (Printable(detail))
    Append(text, " (", detail, ")");
  return Error(row == nullptr ? Errc::kUnavailable : row->code, std::move(text));
}

}  // namespace wherry::mqtt
