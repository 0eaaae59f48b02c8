// Questions from containers and other devices, answers from name servers: any bytes.
#include <cstdint>

#include "engine/network/peer_names.h"
#include "net/dns/message.h"

using namespace wherry::net;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> query(data, size);
  if (DnsAddresses(query).size() > size / 16)
    __builtin_trap();
  auto question = ParseDnsQuestion(query);
  if (!question)
    return 0;
  (void)ReverseAddress(question->name);
  (void)wherry::engine::ParsePeerName(*question);
  const uint32_t addresses[] = {1, 2};
  for (const DnsMessage& answer : {AnswerDnsAddresses(query, *question, addresses),
                                   AnswerDnsName(query, *question, question->name),
                                   AnswerDnsCode(query, *question, DnsCode::kNoName)}) {
    if (!IsDnsAnswerTo(answer, query))
      __builtin_trap();
  }
  return 0;
}
