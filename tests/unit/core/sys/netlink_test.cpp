#include "core/sys/netlink.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <string>

namespace wherry::sys {
namespace {

using Bytes = std::vector<uint8_t>;

// NLMSGERR_ATTR_MSG "no" and NLMSGERR_ATTR_OFFS 0x20.
const Bytes kTold = {7, 0, 1, 0, 'n', 'o', 0, 0, 8, 0, 2, 0, 0x20, 0, 0, 0};

Bytes Copy(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

NetlinkWriter Request(uint16_t type = RTM_GETLINK, uint16_t flags = NLM_F_ACK) {
  NetlinkWriter request;
  request.Start(type, flags, BytesOf(ifinfomsg{}));
  return request;
}

TEST(NetlinkWriter, LaysOutMessagesAndNests) {
  NetlinkWriter writer;
  writer.Start(7, NLM_F_ACK, BytesOf(uint32_t{1}));
  writer.Text(2, "abc");
  {
    auto outer = writer.Open(3);
    auto inner = writer.Open(4);
    writer.Be16(5, 0x1234);
  }
  writer.Start(8, 0, {});
  ASSERT_EQ(writer.count(), 2U);
  EXPECT_FALSE(writer.too_long());
  std::span<const uint8_t> rest = writer.bytes();
  auto first = TakeMessage(rest);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->type, 7);
  EXPECT_EQ(first->flags, NLM_F_REQUEST | NLM_F_ACK);
  EXPECT_EQ(first->Header<uint32_t>(), 1U);
  std::span<const uint8_t> attributes = first->Attributes(4);
  EXPECT_EQ(FindAttribute(attributes, 2)->AsText(), "abc");
  auto outer = FindAttribute(attributes, 3);
  ASSERT_TRUE(outer);
  auto inner = FindAttribute(outer->value, 4);
  ASSERT_TRUE(inner);
  EXPECT_EQ(Copy(FindAttribute(inner->value, 5)->value), (Bytes{0x12, 0x34}));
  EXPECT_FALSE(FindAttribute(attributes, 5));
  EXPECT_EQ(TakeMessage(rest)->type, 8);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(writer.message(0).size() + writer.message(1).size(), writer.bytes().size());
  EXPECT_TRUE(writer.message(2).empty());
}

TEST(NetlinkWriter, AcceptsTheLongestAttribute) {
  NetlinkWriter writer = Request();
  writer.Bytes(1, Bytes(UINT16_MAX - NLA_HDRLEN));
  EXPECT_FALSE(writer.too_long());
}

// Lengths are 16 bits: one byte more would be written as a length of nearly nothing.
TEST(NetlinkWriter, RefusesAttributesThatOverflow) {
  NetlinkWriter one = Request();
  one.Bytes(1, Bytes(UINT16_MAX - NLA_HDRLEN + 1));
  EXPECT_TRUE(one.too_long());

  NetlinkWriter many = Request();
  {
    auto nest = many.Open(1);
    for (int i = 0; i < 2; ++i)
      many.Bytes(2, Bytes(40000));
  }
  EXPECT_TRUE(many.too_long());
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
  NetlinkSocket socket{UniqueFd(pair[0])};
  UniqueFd other(pair[1]);
  Result<> refused = socket.Call(many, "test");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kInvalid);
  char byte;
  EXPECT_EQ(recv(other.get(), &byte, 1, MSG_DONTWAIT), -1) << "nothing was sent";
}

TEST(NetlinkParser, RefusesLengthsThatDoNotFit) {
  for (uint32_t length : {0U, 1U, 15U, 17U, 4096U, 0x7fffffffU, 0xfffffffdU, 0xffffffffU}) {
    nlmsghdr header{};
    header.nlmsg_len = length;
    std::span<const uint8_t> rest = BytesOf(header);
    EXPECT_FALSE(TakeMessage(rest)) << length;
    EXPECT_EQ(rest.size(), sizeof header);
  }
  for (int length : {0, 1, 3, 5, 8, 0x7fff, 0xfffd, 0xffff}) {
    nlattr header{static_cast<uint16_t>(length), 1};
    std::span<const uint8_t> rest = BytesOf(header);
    EXPECT_FALSE(TakeAttribute(rest)) << length;
  }
  std::span<const uint8_t> nothing;
  EXPECT_FALSE(TakeMessage(nothing));
  EXPECT_FALSE(TakeAttribute(nothing));
}

TEST(NetlinkParser, TakesALastPieceWithoutPadding) {
  Bytes bytes = {5, 0, 9, 0, 'x'};
  std::span<const uint8_t> rest = bytes;
  auto attribute = TakeAttribute(rest);
  ASSERT_TRUE(attribute);
  EXPECT_EQ(attribute->AsText(), "x");
  EXPECT_TRUE(rest.empty());
  EXPECT_FALSE(attribute->As<uint32_t>());
  EXPECT_EQ(NetlinkMessage{}.Attributes(SIZE_MAX).size(), 0U);
  EXPECT_FALSE(NetlinkMessage{}.Header<nlmsgerr>());
}

// The other end of the socket is a kernel that answers what the test says.
class FakeKernel : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    socket_.emplace(UniqueFd(pair[0]));
    kernel_ = UniqueFd(pair[1]);
    timeval timeout{0, 50000};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }

  void Answer(const Bytes& bytes) {
    ASSERT_EQ(send(kernel_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  static Bytes Message(uint16_t type, uint16_t flags, const Bytes& body, uint32_t sequence = 1) {
    nlmsghdr header{};
    header.nlmsg_len = static_cast<uint32_t>(sizeof header + body.size());
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    header.nlmsg_seq = sequence;
    Bytes message = Copy(BytesOf(header));
    message.insert(message.end(), body.begin(), body.end());
    return message;
  }

  static Bytes ErrorBody(int error, uint32_t request_length = 0) {
    nlmsgerr body{};
    body.error = error;
    body.msg.nlmsg_len = request_length;
    return Copy(BytesOf(body));
  }

  Result<> Call() {
    NetlinkWriter request = Request();
    return socket_->Call(request, "do it", [this](const NetlinkMessage&) { ++handled_; });
  }

  std::optional<NetlinkSocket> socket_;
  UniqueFd kernel_;
  int handled_ = 0;
};

TEST_F(FakeKernel, AcknowledgesAndAnswers) {
  Answer(Message(RTM_NEWLINK, 0, Bytes(16)));
  Answer(Message(NLMSG_NOOP, 0, {}));
  Answer(Message(RTM_NEWLINK, 0, Bytes(16), 99));  // of another call
  Answer(Message(NLMSG_ERROR, 0, ErrorBody(0)));
  EXPECT_TRUE(Call());
  EXPECT_EQ(handled_, 1);
}

TEST_F(FakeKernel, DumpsEndWithDone) {
  Answer(Message(RTM_NEWLINK, NLM_F_MULTI, Bytes(16)));
  Answer(Message(NLMSG_DONE, NLM_F_MULTI, Bytes(4)));
  EXPECT_TRUE(Call());
  EXPECT_EQ(handled_, 1);
}

TEST_F(FakeKernel, InterruptedDumpIsBusy) {
  Answer(Message(RTM_NEWLINK, NLM_F_MULTI | NLM_F_DUMP_INTR, Bytes(16)));
  Answer(Message(NLMSG_DONE, NLM_F_MULTI, Bytes(4)));
  EXPECT_EQ(Call().error().code(), Errc::kBusy);
}

TEST_F(FakeKernel, FailedDumpIsAnError) {
  Answer(Message(NLMSG_DONE, NLM_F_MULTI, Copy(BytesOf(int32_t{-ENOMEM}))));
  EXPECT_EQ(Call().error().error_number(), ENOMEM);
}

TEST_F(FakeKernel, ErrorsCarryTheWordsOfTheKernel) {
  Bytes body = ErrorBody(-EPERM);
  body.insert(body.end(), kTold.begin(), kTold.end());
  Answer(Message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, body));
  NetlinkWriter request = Request();
  NetlinkFault fault;
  Result<> failed = socket_->Call(request, "do it", nullptr, &fault);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "do it: netlink(no): Operation not permitted");
  EXPECT_EQ(failed.error().error_number(), EPERM);
  EXPECT_EQ(failed.error().code(), Errc::kDenied);
  EXPECT_EQ(fault.message, 0U);
  EXPECT_EQ(fault.offset, 0x20U);
}

TEST_F(FakeKernel, FirstErrorOfABatchCounts) {
  NetlinkWriter batch = Request(RTM_GETLINK, 0);
  batch.Start(RTM_GETLINK, 0, {});
  batch.Start(RTM_GETLINK, NLM_F_ACK, {});
  Answer(Message(NLMSG_ERROR, 0, ErrorBody(-EEXIST), 2));
  Answer(Message(NLMSG_ERROR, 0, ErrorBody(-ENOENT), 3));
  NetlinkFault fault;
  Result<> failed = socket_->Call(batch, "batch", nullptr, &fault);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().error_number(), EEXIST);
  EXPECT_EQ(fault.message, 1U);
}

TEST_F(FakeKernel, AbsurdErrorsStayInBounds) {
  for (uint32_t length : {1U, 16U, 4096U, 0x7fffffffU, 0xfffffff0U, 0xffffffffU}) {
    SetUp();
    Bytes body = ErrorBody(-EINVAL, length);
    body.insert(body.end(), {0xff, 0xff, 1, 0});
    Answer(Message(NLMSG_ERROR, NLM_F_ACK_TLVS, body));
    EXPECT_EQ(Call().error().error_number(), EINVAL) << length;
  }
  for (int32_t number : {1, INT32_MAX, INT32_MIN, -4096}) {
    SetUp();
    Answer(Message(NLMSG_ERROR, 0, ErrorBody(number)));
    EXPECT_EQ(Call().error().error_number(), EPROTO) << number;
  }
  SetUp();
  Answer(Message(NLMSG_ERROR, 0, {1, 2}));
  EXPECT_EQ(Call().error().code(), Errc::kCorrupt);
}

TEST_F(FakeKernel, MalformedAnswersAreCorrupt) {
  Bytes longer = Message(RTM_NEWLINK, 0, Bytes(16));
  longer[0] = 200;
  Bytes shorter = Message(RTM_NEWLINK, 0, Bytes(16));
  shorter[0] = 3;
  for (const Bytes& bytes : {longer, shorter, Bytes{1}, Bytes(15), Bytes(16)}) {
    SetUp();
    Answer(bytes);
    Result<> failed = Call();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code(), Errc::kCorrupt) << failed.error().message();
  }
  SetUp();
  Answer(Bytes(40000));
  EXPECT_EQ(Call().error().code(), Errc::kCorrupt) << "longer than any answer";
}

TEST_F(FakeKernel, SilenceTimesOut) {
  EXPECT_EQ(Call().error().code(), Errc::kTimeout);
}

TEST_F(FakeKernel, EveryPrefixAndManyMutationsEndWell) {
  Bytes body = ErrorBody(-EPERM);
  body.insert(body.end(), kTold.begin(), kTold.end());
  Bytes good = Message(RTM_NEWLINK, 0, Bytes(16));
  Bytes error = Message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, body);
  good.insert(good.end(), error.begin(), error.end());
  for (size_t size = 1; size < good.size(); ++size) {
    SetUp();
    Answer(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size)));
    EXPECT_FALSE(Call()) << size;
  }
  std::minstd_rand random(1);
  for (int round = 0; round < 2000; ++round) {
    SetUp();
    Bytes bytes = good;
    for (int i = 0; i < 3; ++i)
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    Answer(bytes);
    kernel_.Reset();  // no time-outs
    (void)Call();
  }
}

TEST(NetlinkSocket, WithoutAckIsABug) {
  auto socket = NetlinkSocket::Open(NetlinkFamily::kRoute);
  ASSERT_TRUE(socket);
  NetlinkWriter request = Request(RTM_GETLINK, 0);
  EXPECT_EQ(socket->Call(request, "test").error().code(), Errc::kInternal);
}

TEST(NetlinkSocket, TalksToTheKernel) {
  auto socket = NetlinkSocket::Open(NetlinkFamily::kRoute);
  ASSERT_TRUE(socket);
  int links = 0;
  NetlinkWriter dump = Request(RTM_GETLINK, NLM_F_ACK | NLM_F_DUMP);
  EXPECT_TRUE(socket->Call(dump, "list", [&](const NetlinkMessage& message) {
    EXPECT_EQ(message.type, RTM_NEWLINK);
    ++links;
  }));
  EXPECT_GE(links, 1);
  // After the dump the socket serves the next call, and an error names the reason.
  ifinfomsg strange{};
  strange.ifi_index = -7;
  NetlinkWriter request;
  request.Start(RTM_GETLINK, NLM_F_ACK, BytesOf(strange));
  Result<> failed = socket->Call(request, "find");
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().error_number(), 0);
}

}  // namespace
}  // namespace wherry::sys
