#include "net/dns/message.h"

#include <algorithm>
#include <charconv>

namespace wherry::net {

namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kMaxLabel = 63;
constexpr size_t kMaxName = 255;
constexpr size_t kFlagsAt = 2;
constexpr size_t kQuestionsAt = 4;
constexpr size_t kAnswersAt = 6;
constexpr uint8_t kResponse = 0x80;            // in the first byte of the flags
constexpr uint8_t kOpcode = 0x78;              // in the first
constexpr uint8_t kRecursionDesired = 0x01;    // in the first
constexpr uint8_t kRecursionAvailable = 0x80;  // in the second
constexpr uint16_t kInternet = 1;
constexpr uint32_t kSecondsToLive = 5;  // containers come and go
constexpr uint16_t kNameOfQuestion = 0xc000 | kHeaderBytes;
constexpr std::string_view kReverseZone = ".in-addr.arpa";

uint16_t Get16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void Put16(DnsMessage& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

void Put32(DnsMessage& out, uint32_t value) {
  Put16(out, static_cast<uint16_t>(value >> 16));
  Put16(out, static_cast<uint16_t>(value));
}

// What an upper case letter, a dot inside a label or a control byte would make ambiguous.
std::optional<char> NameByte(uint8_t byte) {
  if (byte >= 'A' && byte <= 'Z')
    return static_cast<char>(byte - 'A' + 'a');
  if (byte <= ' ' || byte >= 0x7f || byte == '.' || byte == '\\')
    return std::nullopt;
  return static_cast<char>(byte);
}

// Header and question of the query as those of an answer with `count` records.
DnsMessage Begin(std::span<const uint8_t> query, const DnsQuestion& question, DnsCode code,
                 size_t count) {
  DnsMessage out(std::max(question.end, kHeaderBytes));
  std::copy_n(query.begin(), question.end, out.begin());
  out[kFlagsAt] = static_cast<uint8_t>(kResponse | (query[kFlagsAt] & kRecursionDesired));
  out[kFlagsAt + 1] = static_cast<uint8_t>(kRecursionAvailable | static_cast<uint8_t>(code));
  std::fill(out.begin() + kAnswersAt, out.begin() + kHeaderBytes, uint8_t{0});
  out[kAnswersAt + 1] = static_cast<uint8_t>(count);
  return out;
}

void PutName(DnsMessage& out, std::string_view name) {
  while (!name.empty()) {
    std::string_view label = name.substr(0, std::min(name.find('.'), kMaxLabel));
    out.push_back(static_cast<uint8_t>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(label.size());
    if (name.starts_with('.'))
      name.remove_prefix(1);
  }
  out.push_back(0);
}

void BeginRecord(DnsMessage& out, DnsType type, size_t bytes) {
  Put16(out, kNameOfQuestion);
  Put16(out, static_cast<uint16_t>(type));
  Put16(out, kInternet);
  Put32(out, kSecondsToLive);
  Put16(out, static_cast<uint16_t>(bytes));
}

}  // namespace

std::optional<DnsQuestion> ParseDnsQuestion(std::span<const uint8_t> query) {
  if (query.size() < kHeaderBytes || (query[kFlagsAt] & (kResponse | kOpcode)) != 0 ||
      Get16(query, kQuestionsAt) != 1)
    return std::nullopt;
  DnsQuestion question;
  question.id = DnsId(query);
  size_t at = kHeaderBytes;
  for (;;) {
    if (at >= query.size())
      return std::nullopt;
    size_t length = query[at++];
    if (length == 0)
      break;
    if (length > kMaxLabel || at + length > query.size() ||
        question.name.size() + 1 + length > kMaxName)
      return std::nullopt;
    if (!question.name.empty())
      question.name += '.';
    for (uint8_t byte : query.subspan(at, length)) {
      auto c = NameByte(byte);
      if (!c)
        return std::nullopt;
      question.name += *c;
    }
    at += length;
  }
  if (at + 4 > query.size())
    return std::nullopt;
  question.type = static_cast<DnsType>(Get16(query, at));
  question.internet = Get16(query, at + 2) == kInternet;
  question.end = at + 4;
  return question;
}

std::optional<uint32_t> ReverseAddress(std::string_view name) {
  if (!name.ends_with(kReverseZone))
    return std::nullopt;
  name.remove_suffix(kReverseZone.size());
  uint32_t address = 0;
  for (uint32_t shift = 0; shift < 32; shift += 8) {
    uint32_t part = 0;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), part);
    if (error != std::errc() || part > 255)
      return std::nullopt;
    address |= part << shift;
    name.remove_prefix(static_cast<size_t>(end - name.data()));
    bool last = shift == 24;
    if (name.empty() != last || (!last && name[0] != '.'))
      return std::nullopt;
    if (!last)
      name.remove_prefix(1);
  }
  return address;
}

DnsMessage AnswerDnsAddresses(std::span<const uint8_t> query, const DnsQuestion& question,
                              std::span<const uint32_t> addresses) {
  constexpr size_t kMost = 24;  // what fits into the 512 bytes every client takes
  addresses = addresses.first(std::min(addresses.size(), kMost));
  DnsMessage out = Begin(query, question, DnsCode::kNoError, addresses.size());
  for (uint32_t address : addresses) {
    BeginRecord(out, DnsType::kA, sizeof address);
    Put32(out, address);
  }
  return out;
}

DnsMessage AnswerDnsName(std::span<const uint8_t> query, const DnsQuestion& question,
                         std::string_view name) {
  DnsMessage labels;
  PutName(labels, name);
  DnsMessage out = Begin(query, question, DnsCode::kNoError, 1);
  BeginRecord(out, DnsType::kPtr, labels.size());
  out.insert(out.end(), labels.begin(), labels.end());
  return out;
}

DnsMessage AnswerDnsCode(std::span<const uint8_t> query, const DnsQuestion& question,
                         DnsCode code) {
  return Begin(query, question, code, 0);
}

DnsMessage AskDnsAddresses(uint16_t id, std::string_view name) {
  DnsMessage out(kHeaderBytes);
  SetDnsId(out, id);
  out[kQuestionsAt + 1] = 1;
  PutName(out, name);
  Put16(out, static_cast<uint16_t>(DnsType::kA));
  Put16(out, kInternet);
  return out;
}

std::vector<uint32_t> DnsAddresses(std::span<const uint8_t> answer) {
  std::vector<uint32_t> addresses;
  if (answer.size() < kHeaderBytes || (answer[kFlagsAt] & kResponse) == 0)
    return addresses;
  // Up to its end the question is as it was asked.
  DnsMessage query(answer.begin(), answer.end());
  query[kFlagsAt] = 0;
  auto question = ParseDnsQuestion(query);
  if (!question)
    return addresses;
  DnsMessage wanted;
  BeginRecord(wanted, DnsType::kA, sizeof(uint32_t));
  for (std::span<const uint8_t> rest = answer.subspan(question->end);
       rest.size() >= wanted.size() + sizeof(uint32_t) &&
       addresses.size() < Get16(answer, kAnswersAt);
       rest = rest.subspan(wanted.size() + sizeof(uint32_t))) {
    if (!std::ranges::equal(rest.first(wanted.size()), wanted))
      break;
    std::span<const uint8_t> value = rest.subspan(wanted.size());
    addresses.push_back(uint32_t{Get16(value, 0)} << 16 | Get16(value, 2));
  }
  return addresses;
}

DnsMessage DnsStreamForm(std::span<const uint8_t> message) {
  DnsMessage out(message.size() + 2);
  out[0] = static_cast<uint8_t>(message.size() >> 8);
  out[1] = static_cast<uint8_t>(message.size());
  std::ranges::copy(message, out.begin() + 2);
  return out;
}

uint16_t DnsId(std::span<const uint8_t> message) {
  return message.size() < 2 ? uint16_t{0} : Get16(message, 0);
}

void SetDnsId(std::span<uint8_t> message, uint16_t id) {
  if (message.size() < 2)
    return;
  message[0] = static_cast<uint8_t>(id >> 8);
  message[1] = static_cast<uint8_t>(id);
}

bool IsDnsAnswerTo(std::span<const uint8_t> answer, std::span<const uint8_t> query) {
  auto question = ParseDnsQuestion(query);
  if (!question || answer.size() < question->end || (answer[kFlagsAt] & kResponse) == 0 ||
      Get16(answer, kQuestionsAt) != 1)
    return false;
  // Servers may change the case of letters back; labels' lengths are below any letter.
  auto folded = [](uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? static_cast<uint8_t>(byte + 32) : byte;
  };
  return std::ranges::equal(answer.subspan(kHeaderBytes, question->end - kHeaderBytes),
                            query.subspan(kHeaderBytes, question->end - kHeaderBytes), {}, folded,
                            folded);
}

}  // namespace wherry::net
