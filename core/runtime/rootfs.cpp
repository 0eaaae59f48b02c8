#include "core/runtime/rootfs.h"

#include <fcntl.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/mounts.h"
#include "core/sys/mount_calls.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

unsigned long PropagationFlag(oci::Propagation propagation) {
  switch (propagation) {
    case oci::Propagation::kUnset:
    case oci::Propagation::kPrivate:
      return 0;  // it is private already
    case oci::Propagation::kSlave:
      return MS_SLAVE;
    case oci::Propagation::kShared:
      return MS_SHARED;
    case oci::Propagation::kUnbindable:
      return MS_UNBINDABLE;
  }
  return 0;
}

std::string RootPath(const oci::RuntimeSpec& spec, const std::string& bundle) {
  return spec.root_path.starts_with('/') ? spec.root_path : Cat(bundle, "/", spec.root_path);
}

Result<UniqueFd> AttachDirectory(const std::string& path) {
  UniqueFd target = TRY_CTX("root file system", Open(path, O_PATH | O_DIRECTORY));
  UniqueFd tree =
      TRY_CTX("root file system", sys::CloneTree(target.get(), "", sys::Recursive::kYes));
  TRY_CTX("root file system", sys::AttachMount(tree.get(), target.get()));
  return tree;
}

// overlayfs makes and copies up files as whoever has mounted it: on layers that are mapped, that
// has to be somebody who is mapped.
Result<UniqueFd> MountLayers(const ContainerRequest& request) {
  UniqueFd bundle = TRY(Open(request.bundle, O_PATH | O_DIRECTORY));
  const oci::RuntimeSpec& spec = request.spec;
  if (spec.FindNamespace(oci::NamespaceType::kUser) == nullptr)
    return sys::MountOverlay(*request.overlay, bundle.get());
  std::optional<uint32_t> uid = OutsideId(spec.uid_mappings, 0);
  std::optional<uint32_t> gid = OutsideId(spec.gid_mappings, 0);
  if (!uid || !gid)
    return Fail(Errc::kInvalid, "layers can only be mapped to a new user namespace with a root");
  UniqueFd ids = TRY(OpenIds(spec));
  sys::ActingAs acting = TRY(sys::ActingAs::Begin(*uid, *gid));
  return sys::MountOverlay(*request.overlay, bundle.get(), ids.get());
}

}  // namespace

Result<UniqueFd> MountRootfs(const ContainerRequest& request) {
  UniqueFd root;
  bool in_user_namespace = request.spec.FindNamespace(oci::NamespaceType::kUser) != nullptr;
  if (request.overlay) {
    root = TRY_CTX("root file system", MountLayers(request));
  } else {
    root = TRY(AttachDirectory(RootPath(request.spec, request.bundle)));
  }
  if (in_user_namespace)
    return sys::CloneTree(root.get(), "", sys::Recursive::kYes);
  return root;
}

Result<> ShowRootfs(int root, const oci::RuntimeSpec& spec, const std::string& bundle) {
  if (spec.FindNamespace(oci::NamespaceType::kUser) == nullptr)
    return {};
  UniqueFd place = TRY_CTX("root file system, for createContainer hooks as the container's root",
                           Open(RootPath(spec, bundle), O_PATH | O_DIRECTORY));
  return sys::AttachMount(root, place.get());
}

Result<> EnterRootfs(int root, const ContainerRequest& request) {
  bool is_shown = !request.spec.hooks.create_container.empty();
  if (request.spec.FindNamespace(oci::NamespaceType::kUser) != nullptr && !is_shown) {
    UniqueFd top = TRY(Open("/", O_PATH | O_DIRECTORY));
    TRY_CTX("root file system", sys::AttachMount(root, top.get()));
  }
  return request.pivot ? sys::PivotRoot(root) : sys::MoveRoot(root);
}

Result<> SealRootfs(int root, const oci::RuntimeSpec& spec, int proc_fd) {
  sys::MountAttributes read_only;
  if (spec.root_readonly)
    read_only.set = MOUNT_ATTR_RDONLY;
  TRY_CTX("make the root file system read-only",
          sys::SetMountAttributes(root, read_only, sys::Recursive::kNo, proc_fd));
  sys::MountAttributes propagation;
  propagation.propagation = PropagationFlag(spec.rootfs_propagation);
  sys::Recursive recursive =
      spec.rootfs_propagation_recursive ? sys::Recursive::kYes : sys::Recursive::kNo;
  TRY_CTX("rootfsPropagation", sys::SetMountAttributes(root, propagation, recursive, proc_fd));
  return {};
}

}  // namespace wherry::runtime
