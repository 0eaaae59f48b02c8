// Names of layer entries: checked and cut into directory and last component before they come near a
// file system, and the whiteout markers of OCI image-spec v1.1 layer.md. Functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "store/tar_entry.h"

namespace wherry::store {

// Bounds of what is accepted; the kernel's own are PATH_MAX and NAME_MAX.
inline constexpr size_t kMaxPathBytes = 4000;
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxPathDepth = 128;

// What the last component means.
enum class LayerMark : uint8_t {
  kNone,      // a file of the layer
  kWhiteout,  // ".wh.NAME": hides NAME of the layers below; `base` is NAME
  kOpaque,    // ".wh..wh..opq": hides all the layers below have in `parent`; `base` is empty
  kIgnored,   // bookkeeping of AUFS in old images
};

struct LayerPath {
  std::string parent;  // "usr/share"; empty: the root of the layer
  std::string base;    // "doc"; empty: the root itself
  LayerMark mark = LayerMark::kNone;
};

// Splits an entry's name; "./" in front, inside and a "/" at the end do not count. kInvalid,
// without the name in the message: absolute names, "..", names too long or too deep, "/." at the
// end of what is no directory, the root as something other than a directory, whiteouts of nothing,
// and marker names where they hide nothing.
Result<LayerPath> ParseLayerPath(std::string_view name, TarType type);

// As above for the target of a hard link, which is relative to the root of the layer even when it
// starts with "/".
Result<LayerPath> ParseLinkTarget(std::string_view name);

// For messages: control characters and bytes that are not ASCII as \xNN, cut after 200 bytes, in
// single quotes.
std::string QuoteName(std::string_view name);

}  // namespace wherry::store
