#include "core/oci/layer_parts.h"

#include <string>
#include <string_view>

#include "core/base/text.h"

namespace wherry::oci {

namespace {

// The second one is that of old versions, and of stargz-snapshotter.
constexpr std::string_view kPrefixes[] = {"io.github.containers.zstd-chunked.",
                                          "io.containers.zstd-chunked."};
constexpr uint64_t kMaxPosition = uint64_t{1} << 50;
constexpr uint64_t kTocType = 1;

// "offset:size:unpacked size", and for the table of contents ":type".
std::optional<BlobPosition> ParsePosition(std::string_view text, std::optional<uint64_t> type) {
  auto parts = Split(text, ':');
  uint64_t numbers[4] = {};
  if (parts.size() != (type ? 4 : 3))
    return std::nullopt;
  for (size_t i = 0; i < parts.size(); ++i) {
    auto number = ParseUint(parts[i]);
    if (!number || *number > kMaxPosition)
      return std::nullopt;
    numbers[i] = *number;
  }
  if (type && numbers[3] != *type)
    return std::nullopt;
  return BlobPosition{numbers[0], numbers[1], numbers[2]};
}

}  // namespace

std::optional<LayerParts> ParseLayerParts(JsonValue annotations) {
  for (std::string_view prefix : kPrefixes) {
    auto text = [&](std::string_view name) { return annotations[Cat(prefix, name)].str(); };
    auto toc = ParsePosition(text("manifest-position"), kTocType);
    auto split = ParsePosition(text("tarsplit-position"), std::nullopt);
    auto digest = Digest::Parse(text("manifest-checksum"));
    if (toc && split && digest)
      return LayerParts{*toc, *digest, *split};
  }
  return std::nullopt;
}

}  // namespace wherry::oci
