#include "net/dns/message.h"

#include <gtest/gtest.h>

namespace wherry::net {
namespace {

// A query with ID 0x1234 for labels such as "\3web\4lan0".
DnsMessage Query(std::string_view labels, uint16_t type = 1, uint16_t flags = 0x0100) {
  DnsMessage query = {
      0x12, 0x34, static_cast<uint8_t>(flags >> 8), static_cast<uint8_t>(flags), 0, 1, 0, 0, 0, 0,
      0,    0};
  query.insert(query.end(), labels.begin(), labels.end());
  for (uint16_t value : {uint16_t{0}, type, uint16_t{1}}) {
    if (value != 0 || query.size() == 12 + labels.size()) {
      if (query.size() != 12 + labels.size())
        query.push_back(static_cast<uint8_t>(value >> 8));
      query.push_back(static_cast<uint8_t>(value));
    }
  }
  return query;
}

TEST(DnsQuestion, IsRead) {
  auto question = ParseDnsQuestion(Query("\3WeB\3lan"));
  ASSERT_TRUE(question);
  EXPECT_EQ(question->id, 0x1234);
  EXPECT_EQ(question->name, "web.lan");
  EXPECT_EQ(question->type, DnsType::kA);
  EXPECT_TRUE(question->internet);
}

TEST(DnsQuestion, OfAnythingElseIsNothing) {
  DnsMessage good = Query("\3web");
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(ParseDnsQuestion(std::span(good).first(size))) << size;
  EXPECT_FALSE(ParseDnsQuestion(Query("\3web", 1, 0x8100))) << "a response";
  EXPECT_FALSE(ParseDnsQuestion(Query("\3web", 1, 0x2800))) << "an update";
  EXPECT_FALSE(ParseDnsQuestion(Query("\xc0\x0c"))) << "a pointer";
  EXPECT_FALSE(ParseDnsQuestion(Query("\4a.bc"))) << "a dot in a label";
  EXPECT_FALSE(ParseDnsQuestion(Query(std::string("\2a\0", 3)))) << "a NUL in a label";
  std::string deep;
  for (int i = 0; i < 130; ++i)
    deep += "\1a";
  EXPECT_FALSE(ParseDnsQuestion(Query(deep))) << "more than 255 bytes";
  DnsMessage two = good;
  two[5] = 2;
  EXPECT_FALSE(ParseDnsQuestion(two)) << "two questions";
}

TEST(DnsAnswer, HasTheAddresses) {
  DnsMessage query = Query("\3web");
  auto question = ParseDnsQuestion(query);
  const uint32_t addresses[] = {0x0a000001, 0x0a000002};
  DnsMessage answer = AnswerDnsAddresses(query, *question, addresses);
  EXPECT_TRUE(IsDnsAnswerTo(answer, query));
  EXPECT_EQ(answer[7], 2);
  DnsMessage record(answer.end() - 16, answer.end());
  EXPECT_EQ(record, (DnsMessage{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 2}));
  std::vector<uint32_t> many(300, 1);
  EXPECT_LE(AnswerDnsAddresses(query, *question, many).size(), 512u);
}

TEST(DnsAnswer, HasTheNameOrTheCode) {
  DnsMessage query = Query(
      "\1"
      "1\1"
      "0\1"
      "0\2"
      "10\7in-addr\4arpa",
      12);
  auto question = ParseDnsQuestion(query);
  ASSERT_TRUE(question);
  EXPECT_EQ(ReverseAddress(question->name), 0x0a000001u);
  DnsMessage answer = AnswerDnsName(query, *question, "web.mine");
  std::string tail(answer.end() - 10, answer.end());
  EXPECT_EQ(tail, std::string("\3web\4mine\0", 10));
  EXPECT_EQ(AnswerDnsCode(query, *question, DnsCode::kServerFailure)[3] & 15, 2);
}

TEST(DnsAnswer, OfAnotherQuestionIsNone) {
  DnsMessage query = Query("\3web");
  auto question = ParseDnsQuestion(query);
  DnsMessage answer = AnswerDnsCode(query, *question, DnsCode::kNoName);
  EXPECT_TRUE(IsDnsAnswerTo(answer, Query("\3WEB"))) << "case does not count";
  EXPECT_FALSE(IsDnsAnswerTo(answer, Query("\3wib")));
  EXPECT_FALSE(IsDnsAnswerTo(query, query));
}

TEST(ReverseAddress, IsStrict) {
  EXPECT_EQ(ReverseAddress("4.3.2.1.in-addr.arpa"), 0x01020304u);
  for (const char* name : {"3.2.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "256.1.1.1.in-addr.arpa",
                           "a.1.1.1.in-addr.arpa", ".in-addr.arpa", "1.1.1.1.ip6.arpa", ""})
    EXPECT_FALSE(ReverseAddress(name)) << name;
}

TEST(DnsAsking, IsAQuestionWithAnAnswer) {
  DnsMessage query = AskDnsAddresses(0x1234, "web.4711.overlay");
  auto question = ParseDnsQuestion(query);
  ASSERT_TRUE(question);
  EXPECT_EQ(question->id, 0x1234);
  EXPECT_EQ(question->name, "web.4711.overlay");
  EXPECT_EQ(question->type, DnsType::kA);
  EXPECT_EQ(question->end, query.size());
  const uint32_t addresses[] = {0x0a000001, 0x0a0000ff};
  DnsMessage answer = AnswerDnsAddresses(query, *question, addresses);
  EXPECT_TRUE(IsDnsAnswerTo(answer, query));
  EXPECT_EQ(DnsAddresses(answer), (std::vector<uint32_t>{0x0a000001, 0x0a0000ff}));
  EXPECT_TRUE(DnsAddresses(AnswerDnsCode(query, *question, DnsCode::kNoName)).empty());
}

TEST(DnsAsking, WhatIsNoAnswerHasNoAddresses) {
  DnsMessage query = AskDnsAddresses(1, "web");
  auto question = ParseDnsQuestion(query);
  const uint32_t addresses[] = {0x0a000001, 0x0a000002};
  DnsMessage answer = AnswerDnsAddresses(query, *question, addresses);
  EXPECT_TRUE(DnsAddresses(query).empty()) << "a question";
  for (size_t size = 0; size < answer.size() - 16; ++size)
    EXPECT_TRUE(DnsAddresses(std::span(answer).first(size)).empty()) << size;
  EXPECT_EQ(DnsAddresses(std::span(answer).first(answer.size() - 1)).size(), 1u);
  DnsMessage more = answer;
  more[6] = 0xff;  // says that it has 65282 records
  EXPECT_EQ(DnsAddresses(more).size(), 2u);
  DnsMessage name = AnswerDnsName(query, *question, "somewhere.else.example");
  EXPECT_TRUE(DnsAddresses(name).empty());
}

}  // namespace
}  // namespace wherry::net
