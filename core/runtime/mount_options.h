// The options of an OCI mount ("nosuid", "rprivate", "size=64k", ...), sorted into what each is
// for. Pure. Internal to core/runtime.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/sys/mount.h"

namespace wherry::runtime {

struct MountOptions {
  sys::MountAttributes attributes;  // of the mount itself
  sys::MountAttributes
      recursive_attributes;  // "rro" and the like: of every mount below as well; no propagation
  sys::Recursive propagation_recursive = sys::Recursive::kNo;  // for attributes.propagation
  bool bind = false;
  sys::Recursive bind_recursive = sys::Recursive::kNo;
  // "idmap", "ridmap": owners of the source's files as the container's user namespace, or the
  // mount's own maps, have them.
  bool id_mapped = false;
  sys::Recursive id_mapped_recursive = sys::Recursive::kNo;
  // "tmpcopyup" of a tmpfs, and wherry's own "copyup" of a bind: the source, an empty directory, is
  // filled first with what the mount covers.
  bool copy_up = false;
  std::vector<std::string> data;  // for the file system itself

  // Whether the data has the option `name` ("mode" finds "mode=755").
  bool HasData(std::string_view name) const;
};

// kUnsupported naming the option for remount, and for maps inside an option.
Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace wherry::runtime
