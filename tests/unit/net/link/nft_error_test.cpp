#include "net/link/nft_error.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>

#include "net/link/nft_rule.h"

namespace wherry::net {
namespace {

// Where the expression called `name` begins in a message that has it.
uint32_t OffsetOf(std::span<const uint8_t> message, std::string_view name) {
  std::string_view text(reinterpret_cast<const char*>(message.data()), message.size());
  return static_cast<uint32_t>(text.find(name) - 2 * NLA_HDRLEN);
}

Error Explain(int error_number, uint16_t type) {
  sys::NetlinkWriter writer;
  StartNft(writer, type, 0);
  return ExplainNftError(Error::Sys(error_number, "netlink"), writer.message(0), 0);
}

TEST(NftError, NamesTheMissingExpression) {
  sys::NetlinkWriter writer;
  NftRule(writer, "t", "c").ToThisHost().RedirectTo({0x0a000001}, 80);
  NftRule(writer, "t", "c").Redirected().Masquerade();
  struct Row {
    size_t message;
    const char* expression;
    const char* option;
  };
  for (const Row& row : {Row{0, "fib", "CONFIG_NFT_FIB_IPV4"}, Row{0, "nat", "CONFIG_NFT_NAT"},
                         Row{1, "ct", "CONFIG_NFT_CT"}, Row{1, "masq", "CONFIG_NFT_MASQ"}}) {
    auto message = writer.message(row.message);
    Error error =
        ExplainNftError(Error::Sys(ENOENT, "netlink"), message, OffsetOf(message, row.expression));
    EXPECT_EQ(error.code(), Errc::kUnsupported) << row.expression;
    EXPECT_NE(error.message().find(row.option), std::string::npos) << error.message();
    EXPECT_NE(error.message().find(row.expression), std::string::npos) << error.message();
    EXPECT_EQ(error.message().find("CONFIG"), error.message().rfind("CONFIG")) << error.message();
  }
}

TEST(NftError, OldKernelsGetTheWholeList) {
  Error error = Explain(ENOENT, NFT_MSG_NEWRULE);
  EXPECT_EQ(error.code(), Errc::kUnsupported);
  EXPECT_NE(error.message().find("CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4"), std::string::npos);
}

TEST(NftError, NamesMissingTablesAndChains) {
  sys::NetlinkWriter begin;
  begin.Start(NFNL_MSG_BATCH_BEGIN, 0, sys::BytesOf(nfgenmsg{}));
  Error none = ExplainNftError(Error::Sys(EOPNOTSUPP, "netlink"), begin.message(0), 0);
  EXPECT_EQ(none.code(), Errc::kUnsupported);
  EXPECT_NE(none.message().find("CONFIG_NF_TABLES "), std::string::npos) << none.message();
  EXPECT_NE(Explain(EAFNOSUPPORT, NFT_MSG_NEWTABLE).message().find("CONFIG_NF_TABLES_IPV4"),
            std::string::npos);
  EXPECT_NE(Explain(ENOENT, NFT_MSG_NEWCHAIN).message().find("CONFIG_NFT_NAT"), std::string::npos);
}

TEST(NftError, OtherErrorsStay) {
  EXPECT_EQ(Explain(EPERM, NFT_MSG_NEWRULE).code(), Errc::kDenied);
  EXPECT_EQ(Explain(ENOMEM, NFT_MSG_NEWRULE).code(), Errc::kNoSpace);
  EXPECT_EQ(Explain(EEXIST, NFT_MSG_NEWCHAIN).code(), Errc::kExists);
  EXPECT_EQ(Explain(ENOENT, NFT_MSG_DELTABLE).code(), Errc::kNotFound);
  EXPECT_EQ(ExplainNftError(Error::Sys(ENOENT, "netlink"), {}, 0).code(), Errc::kNotFound);
}

TEST(NftError, OffsetsBeyondTheMessageStayInBounds) {
  sys::NetlinkWriter writer;
  NftRule(writer, "t", "c").Redirected().Accept();
  auto message = writer.message(0);
  for (uint32_t offset = 1; offset < message.size() + 8; ++offset)
    (void)ExplainNftError(Error::Sys(ENOENT, "netlink"), message, offset);
  EXPECT_EQ(ExplainNftError(Error::Sys(ENOENT, "netlink"), message, UINT32_MAX).code(),
            Errc::kNotFound);
}

}  // namespace
}  // namespace wherry::net
