// The part of DNS (RFC 1035) that a resolver for containers needs: the question of a query, and
// answers for names it knows itself. What it does not know is passed on as it came. Hostile input;
// pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::net {

inline constexpr size_t kMaxDnsUdp = 4096;  // bytes of a datagram; queries are far smaller
inline constexpr size_t kMaxDnsTcp = 65535;

enum class DnsType : uint16_t { kA = 1, kPtr = 12, kAaaa = 28 };
enum class DnsCode : uint8_t { kNoError = 0, kFormat = 1, kServerFailure = 2, kNoName = 3 };

struct DnsQuestion {
  uint16_t id = 0;
  std::string name;  // lower case, without the last dot; bytes that need an escape are refused
  DnsType type{};    // also values that are not named above
  bool internet = true;
  size_t end = 0;  // offset behind the question
};

// Nothing unless it is a standard query with exactly one question of uncompressed labels.
std::optional<DnsQuestion> ParseDnsQuestion(std::span<const uint8_t> query);

// The address a name such as "2.0.17.172.in-addr.arpa" asks for; host order.
std::optional<uint32_t> ReverseAddress(std::string_view name);

using DnsMessage = std::vector<uint8_t>;

// Answers to `query`, whose question is `question`. Addresses in host order; none: the name exists
// and has nothing of that type.
DnsMessage AnswerDnsAddresses(std::span<const uint8_t> query, const DnsQuestion& question,
                              std::span<const uint32_t> addresses);
// `name` of valid labels.
DnsMessage AnswerDnsName(std::span<const uint8_t> query, const DnsQuestion& question,
                         std::string_view name);
DnsMessage AnswerDnsCode(std::span<const uint8_t> query, const DnsQuestion& question, DnsCode code);

// With its length in front, as streams carry messages.
DnsMessage DnsStreamForm(std::span<const uint8_t> message);

// A question for the addresses of a name of valid labels.
DnsMessage AskDnsAddresses(uint16_t id, std::string_view name);
// Of an answer as AnswerDnsAddresses writes it, in host order; none for a message of any other
// form.
std::vector<uint32_t> DnsAddresses(std::span<const uint8_t> answer);

uint16_t DnsId(std::span<const uint8_t> message);  // 0 when it is too short
void SetDnsId(std::span<uint8_t> message, uint16_t id);
// Whether `answer` is a response with the question of `query` (their IDs aside).
bool IsDnsAnswerTo(std::span<const uint8_t> answer, std::span<const uint8_t> query);

}  // namespace wherry::net
