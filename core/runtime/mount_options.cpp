#include "core/runtime/mount_options.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/sys/mount_calls.h"

namespace wherry::runtime {

namespace {

struct AttributeRow {
  std::string_view name;  // with "r" in front: recursive
  uint64_t set;
  uint64_t clear;
};

// clang-format off
constexpr AttributeRow kAttributes[] = {
    {"ro",            MOUNT_ATTR_RDONLY,      0},
    {"rw",            0,                      MOUNT_ATTR_RDONLY},
    {"nosuid",        MOUNT_ATTR_NOSUID,      0},
    {"suid",          0,                      MOUNT_ATTR_NOSUID},
    {"nodev",         MOUNT_ATTR_NODEV,       0},
    {"dev",           0,                      MOUNT_ATTR_NODEV},
    {"noexec",        MOUNT_ATTR_NOEXEC,      0},
    {"exec",          0,                      MOUNT_ATTR_NOEXEC},
    {"nodiratime",    MOUNT_ATTR_NODIRATIME,  0},
    {"diratime",      0,                      MOUNT_ATTR_NODIRATIME},
    {"nosymfollow",   MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow",     0,                      MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime",       MOUNT_ATTR_NOATIME,     MOUNT_ATTR__ATIME},
    {"strictatime",   MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"relatime",      MOUNT_ATTR_RELATIME,    MOUNT_ATTR__ATIME},
    {"atime",         MOUNT_ATTR_RELATIME,    MOUNT_ATTR__ATIME},
    {"norelatime",    MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME,    MOUNT_ATTR__ATIME},
};

struct PropagationRow {
  std::string_view name;
  unsigned long type;
  sys::Recursive recursive;
};
constexpr PropagationRow kPropagations[] = {
    {"private",      MS_PRIVATE,    sys::Recursive::kNo},
    {"rprivate",     MS_PRIVATE,    sys::Recursive::kYes},
    {"slave",        MS_SLAVE,      sys::Recursive::kNo},
    {"rslave",       MS_SLAVE,      sys::Recursive::kYes},
    {"shared",       MS_SHARED,     sys::Recursive::kNo},
    {"rshared",      MS_SHARED,     sys::Recursive::kYes},
    {"unbindable",   MS_UNBINDABLE, sys::Recursive::kNo},
    {"runbindable",  MS_UNBINDABLE, sys::Recursive::kYes},
};
// clang-format on

// Accepted and without effect on a new mount.
constexpr std::string_view kIgnored[] = {"defaults", "async",      "silent",    "loud",
                                         "nomand",   "noiversion", "nolazytime"};
constexpr std::string_view kUnsupported[] = {"remount"};

bool ApplyAttribute(std::string_view name, sys::MountAttributes& attributes) {
  auto row = std::ranges::find(kAttributes, name, &AttributeRow::name);
  if (row == std::end(kAttributes))
    return false;
  // The last word counts: a later "rw" takes back an earlier "ro".
  attributes.set = (attributes.set & ~row->clear) | row->set;
  attributes.clear = (attributes.clear & ~row->set) | row->clear;
  return true;
}

bool ApplyPropagation(std::string_view name, MountOptions& out) {
  auto row = std::ranges::find(kPropagations, name, &PropagationRow::name);
  if (row == std::end(kPropagations))
    return false;
  out.attributes.propagation = row->type;
  out.propagation_recursive = row->recursive;
  return true;
}

}  // namespace

bool MountOptions::HasData(std::string_view name) const {
  return std::ranges::any_of(data, [&](std::string_view option) {
    return option.starts_with(name) && (option.size() == name.size() || option[name.size()] == '=');
  });
}

Result<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& option : options) {
    std::string_view name = option;
    if (name == "bind" || name == "rbind") {
      out.bind = true;  // beside "rbind" it says nothing
      if (name == "rbind")
        out.bind_recursive = sys::Recursive::kYes;
    } else if (name == "idmap" || name == "ridmap") {
      out.id_mapped = true;
      out.id_mapped_recursive = name == "ridmap" ? sys::Recursive::kYes : sys::Recursive::kNo;
    } else if (name == "copyup" || name == "tmpcopyup") {
      out.copy_up = true;
    } else if (std::ranges::find(kUnsupported, name) != std::end(kUnsupported) ||
               name.starts_with("idmap=") || name.starts_with("ridmap=")) {
      return Fail(Errc::kUnsupported, Cat("mount option \"", name, "\" is not supported"));
    } else if (std::ranges::find(kIgnored, name) == std::end(kIgnored) &&
               !ApplyPropagation(name, out) && !ApplyAttribute(name, out.attributes) &&
               !(name.starts_with('r') &&
                 ApplyAttribute(name.substr(1), out.recursive_attributes))) {
      out.data.push_back(option);
    }
  }
  return out;
}

}  // namespace wherry::runtime
