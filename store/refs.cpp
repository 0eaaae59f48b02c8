#include "store/refs.h"

#include <algorithm>

#include "core/base/text.h"
#include "store/image_record.h"
#include "store/layer_path.h"

namespace wherry::store {

namespace {

constexpr std::string_view kKind = "wherry-refs";
constexpr size_t kMaxNameBytesOfRef = 1024;

}  // namespace

std::string EncodeRefs(const RefMap& refs) {
  std::string body;
  for (const auto& [name, digest] : refs) {
    Append(body, digest.string(), " ", name, "\n");
  }
  return WithChecksum(kKind, body);
}

Result<RefMap> DecodeRefs(std::string_view content) {
  std::string_view body = TRY(CheckChecksum(kKind, content));
  RefMap refs;
  while (!body.empty()) {
    auto line = SplitFirst(body, '\n');
    auto pair = line ? SplitFirst(line->head, ' ') : std::nullopt;
    if (!pair || !CheckRefName(pair->tail)) {
      return Fail(Errc::kCorrupt, "malformed line");
    }
    auto digest = Digest::Parse(pair->head);
    if (!digest) {
      return std::unexpected(std::move(digest).error().WithCode(Errc::kCorrupt));
    }
    refs.insert_or_assign(std::string(pair->tail), *digest);
    body = line->tail;
  }
  return refs;
}

Result<> CheckRefName(std::string_view name) {
  bool plain = std::all_of(name.begin(), name.end(),
                           [](char c) { return static_cast<uint8_t>(c) > ' ' && c != '\x7f'; });
  if (name.empty() || name.size() > kMaxNameBytesOfRef || !plain) {
    return Fail(Errc::kInvalid, Cat(QuoteName(name), " is not a valid image name"));
  }
  return {};
}

}  // namespace wherry::store
