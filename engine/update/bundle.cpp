#include "engine/update/bundle.h"

#include <span>

#include "core/base/text.h"
#include "ota/release.h"
#include "store/tar_header.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kRelease = "release.json";

Result<std::string> ReadBlocks(ByteSource& source, size_t size) {
  std::string text(size, '\0');
  for (size_t have = 0; have < size;) {
    size_t count = TRY(source.Read(std::as_writable_bytes(std::span(text)).subspan(have)));
    if (count == 0)
      return Fail(Errc::kInvalid, "the bundle is truncated: it ends within its release");
    have += count;
  }
  return text;
}

}  // namespace

Result<std::string> ReadBundledRelease(ByteSource& bundle) {
  std::string block = TRY(ReadBlocks(bundle, store::kTarBlock));
  Result<store::TarHeader> header = store::DecodeTarHeader(block);
  if (!header || header->name != kRelease || header->type != '0')
    return Fail(Errc::kInvalid, Cat("this is no bundle: it does not begin with ", kRelease,
                                    "; `wherry release bundle` makes one"));
  if (header->size > ota::kMaxRelease)
    return Fail(Errc::kInvalid, "the bundle's release is larger than one may be (256 KiB)");
  auto size = static_cast<size_t>(header->size);
  size_t padded = (size + store::kTarBlock - 1) / store::kTarBlock * store::kTarBlock;
  std::string text = TRY(ReadBlocks(bundle, padded));
  text.resize(size);
  return text;
}

}  // namespace wherry::engine
