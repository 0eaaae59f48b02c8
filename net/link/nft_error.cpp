#include "net/link/nft_error.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "core/base/text.h"
#include "core/sys/netlink.h"

namespace wherry::net {

namespace {

struct Part {
  std::string_view name;  // of the expression
  std::string_view options;
};

constexpr Part kParts[] = {
    {"nat", "CONFIG_NFT_NAT"},
    {"masq", "CONFIG_NFT_MASQ"},
    {"fib", "CONFIG_NFT_FIB_IPV4"},
    {"ct", "CONFIG_NFT_CT"},
};

// How the kernel says that it does not know a part: depends on the part and the version.
constexpr int kMissing[] = {ENOENT, EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT};

constexpr std::string_view kAllParts =
    "CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_CT";

Error Missing(const Error& error, std::string_view part, std::string_view options) {
  return {Errc::kUnsupported, Cat("the kernel lacks ", part, ": build it with ", options,
                                  " or load the modules; container networks other than host and "
                                  "none need them (",
                                  error.message(), ")")};
}

// The name of the expression that begins at `offset`; empty when there is none.
std::string_view ExpressionAt(std::span<const uint8_t> message, uint32_t offset) {
  if (offset == 0 || offset >= message.size())
    return {};
  std::span<const uint8_t> rest = message.subspan(offset);
  auto element = sys::TakeAttribute(rest);
  if (!element)
    return {};
  auto name = sys::FindAttribute(element->value, NFTA_EXPR_NAME);
  return name ? name->AsText() : std::string_view();
}

}  // namespace

Error ExplainNftError(Error error, std::span<const uint8_t> message, uint32_t offset) {
  if (error.code() == Errc::kDenied)
    return std::move(error).Wrap("nf_tables needs CAP_NET_ADMIN");
  bool missing = std::find(std::begin(kMissing), std::end(kMissing), error.error_number()) !=
                 std::end(kMissing);
  std::span<const uint8_t> rest = message;
  auto parsed = sys::TakeMessage(rest);
  if (!missing || !parsed)
    return error;
  if (parsed->type == NFNL_MSG_BATCH_BEGIN)
    return error.error_number() == EOPNOTSUPP ? Missing(error, "nf_tables", "CONFIG_NF_TABLES")
                                              : std::move(error);
  switch (parsed->type & 0xff) {
    case NFT_MSG_NEWTABLE:
      return Missing(error, "the IPv4 family of nf_tables", "CONFIG_NF_TABLES_IPV4");
    case NFT_MSG_NEWCHAIN:
      return Missing(error, "chains of nf_tables for address translation", "CONFIG_NFT_NAT");
    case NFT_MSG_NEWRULE:
      break;
    default:
      return error;
  }
  std::string_view name = ExpressionAt(message, offset);
  for (const Part& part : kParts) {
    if (part.name == name)
      return Missing(error, Cat("the expression '", name, "' of nf_tables"), part.options);
  }
  // Older kernels do not tell where.
  return offset == 0 ? Missing(error, "an expression of nf_tables", kAllParts) : std::move(error);
}

}  // namespace wherry::net
