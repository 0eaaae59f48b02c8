#include "store/layer_xattr.h"

#include <limits.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "core/base/text.h"

namespace wherry::store {

namespace {

struct Rule {
  std::string_view name;  // ending in '.': a prefix
  bool keep;
  bool required;  // not being able to set it is an error
};

// The first match counts; what matches nothing is left out.
constexpr std::array<Rule, 5> kRules = {{
    {"security.capability", true, true},
    {"user.overlay.", false, false},
    {"user.", true, false},
    {"system.posix_acl_access", true, false},
    {"system.posix_acl_default", true, false},
}};

const Rule* FindRule(std::string_view name) {
  for (const Rule& rule : kRules) {
    if (rule.name.ends_with('.') ? name.starts_with(rule.name) : name == rule.name) {
      return rule.keep ? &rule : nullptr;
    }
  }
  return nullptr;
}

// struct vfs_cap_data of <linux/capability.h>: revision 2, or 3 with the user namespace's root.
bool IsCapability(std::string_view value) {
  constexpr uint8_t kRevision2 = 2;
  constexpr uint8_t kRevision3 = 3;
  return (value.size() == 20 && value[3] == kRevision2) ||
         (value.size() == 24 && value[3] == kRevision3);
}

// All attributes of one file together, in any of the forms the store keeps them.
constexpr size_t kMaxXattrBytes = 60'000;

constexpr const char* kOpaqueXattr = "trusted.overlay.opaque";
constexpr const char* kRedirectXattr = "trusted.overlay.redirect";

// Those an image may have set.
Result<std::vector<std::string>> AllowedNames(int fd) {
  std::vector<std::string> allowed;
  ssize_t length = flistxattr(fd, nullptr, 0);
  if (length <= 0) {
    return allowed;
  }
  std::string names(static_cast<size_t>(length), '\0');
  length = flistxattr(fd, names.data(), names.size());
  if (length < 0) {
    return FailSys("listxattr");
  }
  names.resize(static_cast<size_t>(length));
  for (std::string_view name : Split(names, '\0')) {
    if (FindRule(name) != nullptr) {
      allowed.emplace_back(name);
    }
  }
  return allowed;
}

bool Ignorable(int error_number) {
  return error_number == EOPNOTSUPP || error_number == EINVAL || error_number == EPERM ||
         error_number == ERANGE;
}

}  // namespace

Result<> SetXattrs(int fd, const std::vector<TarXattr>& xattrs) {
  for (const TarXattr& xattr : xattrs) {
    const Rule* rule = FindRule(xattr.name);
    // A NUL would cut the name that was checked down to another one.
    if (rule == nullptr || xattr.name.find('\0') != std::string::npos) {
      continue;
    }
    if (fsetxattr(fd, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) == 0) {
      continue;
    }
    if (rule->required && errno == EINVAL) {
      return Fail(Errc::kInvalid, Cat("its ", xattr.name, " is malformed"));
    }
    if (rule->required || !Ignorable(errno)) {
      return FailSys("setxattr", xattr.name);
    }
  }
  return {};
}

Result<std::vector<TarXattr>> KeptXattrs(const std::vector<TarXattr>& xattrs) {
  std::vector<TarXattr> kept;
  size_t bytes = 0;
  for (const TarXattr& xattr : xattrs) {
    const Rule* rule = FindRule(xattr.name);
    if (rule == nullptr || xattr.name.find('\0') != std::string::npos)
      continue;
    if (rule->required && !IsCapability(xattr.value))
      return Fail(Errc::kInvalid, Cat("its ", xattr.name, " is malformed"));
    bytes += xattr.name.size() + xattr.value.size();
    if (xattr.name.size() <= XATTR_NAME_MAX && bytes <= kMaxXattrBytes)
      kept.push_back(xattr);
  }
  return kept;
}

Result<std::vector<TarXattr>> ReadXattrs(int fd) {
  std::vector<std::string> names = TRY(AllowedNames(fd));
  std::sort(names.begin(), names.end());
  std::vector<TarXattr> xattrs;
  for (std::string& name : names) {
    std::string value(kMaxXattrBytes, '\0');
    ssize_t length = fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (length < 0)
      return FailSys("fgetxattr", name);
    value.resize(static_cast<size_t>(length));
    xattrs.push_back({std::move(name), std::move(value)});
  }
  return xattrs;
}

bool HasXattrs(int fd, const std::vector<TarXattr>& xattrs) {
  auto names = AllowedNames(fd);
  if (!names || names->size() != xattrs.size()) {
    return false;
  }
  for (const TarXattr& xattr : xattrs) {
    std::string value(xattr.value.size() + 1, '\0');
    ssize_t length = fgetxattr(fd, xattr.name.c_str(), value.data(), value.size());
    if (length < 0 ||
        std::string_view(value).substr(0, static_cast<size_t>(length)) != xattr.value) {
      return false;
    }
  }
  return true;
}

Result<> ClearXattrs(int fd) {
  std::vector<std::string> names = TRY(AllowedNames(fd));
  for (const std::string& name : names) {
    if (fremovexattr(fd, name.c_str()) != 0 && errno != ENODATA) {
      return FailSys("removexattr", name);
    }
  }
  return {};
}

Result<> CopyXattrs(int from, int to) {
  TRY(ClearXattrs(to));
  std::vector<std::string> names = TRY(AllowedNames(from));
  if (IsOpaque(from)) {
    names.emplace_back(kOpaqueXattr);
  } else if (fremovexattr(to, kOpaqueXattr) != 0 && errno != ENODATA) {
    return FailSys("removexattr", kOpaqueXattr);
  }
  std::string value(kMaxXattrBytes, '\0');
  for (const std::string& name : names) {
    ssize_t length = fgetxattr(from, name.c_str(), value.data(), value.size());
    if (length < 0 ||
        fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(length), 0) != 0) {
      return FailSys("copy the attribute", name);
    }
  }
  return {};
}

Result<> MakeOpaque(int dir) {
  if (fsetxattr(dir, kOpaqueXattr, "y", 1, 0) != 0) {
    return FailSys("setxattr", kOpaqueXattr);
  }
  return {};
}

bool IsOpaque(int dir) {
  char value = 0;
  return fgetxattr(dir, kOpaqueXattr, &value, 1) == 1 && value == 'y';
}

bool IsRedirected(int dir) {
  return fgetxattr(dir, kRedirectXattr, nullptr, 0) > 0;
}

}  // namespace wherry::store
