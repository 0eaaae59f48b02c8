#include "store/layer_path.h"

#include <array>
#include <vector>

#include "core/base/text.h"

namespace wherry::store {

namespace {

constexpr std::string_view kMarkPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
// At the root of layers that AUFS wrote; Docker and containerd skip them too.
constexpr std::array<std::string_view, 3> kAufsNames = {".wh..wh.aufs", ".wh..wh.orph",
                                                        ".wh..wh.plnk"};

std::unexpected<Error> Bad(std::string_view why) {
  return Fail(Errc::kInvalid, std::string(why));
}

Result<std::vector<std::string_view>> Components(std::string_view name) {
  if (name.size() > kMaxPathBytes) {
    return Bad("the name is too long");
  }
  if (name.find('\0') != std::string_view::npos) {
    return Bad("the name contains a NUL");
  }
  std::vector<std::string_view> parts;
  for (std::string_view part : Split(name, '/')) {
    if (part.empty() || part == ".") {
      continue;
    }
    if (part == "..") {
      return Bad("names with '..' are refused");
    }
    if (part.size() > kMaxNameBytes) {
      return Bad("a part of the name is too long");
    }
    parts.push_back(part);
  }
  if (parts.size() > kMaxPathDepth) {
    return Bad("the name is too deep");
  }
  return parts;
}

LayerPath Assemble(const std::vector<std::string_view>& parts) {
  LayerPath path;
  if (parts.empty()) {
    return path;
  }
  path.base = parts.back();
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    Append(path.parent, i == 0 ? "" : "/", parts[i]);
  }
  return path;
}

bool IsAufsName(std::string_view first) {
  for (std::string_view known : kAufsNames) {
    if (first == known) {
      return true;
    }
  }
  return false;
}

// Whiteouts are empty files; AUFS made them hard links of one.
Result<LayerMark> ParseMark(LayerPath& path, TarType type) {
  if (!path.base.starts_with(kMarkPrefix)) {
    return LayerMark::kNone;
  }
  if (type != TarType::kRegular && type != TarType::kHardlink) {
    return Bad("a whiteout must be an empty file");
  }
  if (path.base == kOpaqueName) {
    path.base.clear();
    return LayerMark::kOpaque;
  }
  std::string hidden = path.base.substr(kMarkPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == ".." || hidden.starts_with(kMarkPrefix)) {
    return Bad("the whiteout hides no valid name");
  }
  path.base = std::move(hidden);
  return LayerMark::kWhiteout;
}

}  // namespace

Result<LayerPath> ParseLayerPath(std::string_view name, TarType type) {
  if (name.starts_with('/')) {
    return Bad("absolute names are refused");
  }
  auto parts = TRY(Components(name));
  bool directory = type == TarType::kDirectory;
  if (!directory && (parts.empty() || name.ends_with('/') || name.ends_with("/."))) {
    return Bad("the name can only be that of a directory");
  }
  LayerPath path = Assemble(parts);
  if (!parts.empty() && IsAufsName(parts.front())) {
    path.mark = LayerMark::kIgnored;
    return path;
  }
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i].starts_with(kMarkPrefix)) {
      return Bad("a whiteout cannot be a directory");
    }
  }
  path.mark = TRY(ParseMark(path, type));
  return path;
}

Result<LayerPath> ParseLinkTarget(std::string_view name) {
  auto parts = TRY(Components(name));
  if (parts.empty()) {
    return Bad("the link has no target");
  }
  return Assemble(parts);
}

std::string QuoteName(std::string_view name) {
  constexpr size_t kMaxShown = 200;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "'";
  for (char c : name.substr(0, kMaxShown)) {
    auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out.push_back(c);
    } else {
      Append(out, "\\x", kHex[byte >> 4], kHex[byte & 15]);
    }
  }
  out += name.size() > kMaxShown ? "...'" : "'";
  return out;
}

}  // namespace wherry::store
