#include "core/runtime/rootfs.h"

#include <fcntl.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/mount_calls.h"

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

Result<UniqueFd> AttachDirectory(const std::string& path) {
  UniqueFd target = TRY_CTX("root file system", Open(path, O_PATH | O_DIRECTORY));
  UniqueFd tree =
      TRY_CTX("root file system", sys::CloneTree(target.get(), "", sys::Recursive::kYes));
  TRY_CTX("root file system", sys::AttachMount(tree.get(), target.get()));
  return tree;
}

}  // namespace

Result<UniqueFd> EnterRootfs(const ContainerRequest& request) {
  UniqueFd root;
  if (request.overlay) {
    UniqueFd bundle = TRY(Open(request.bundle, O_PATH | O_DIRECTORY));
    root = TRY_CTX("root file system", sys::MountOverlay(*request.overlay, bundle.get()));
  } else {
    const std::string& path = request.spec.root_path;
    root = TRY(AttachDirectory(path.starts_with('/') ? path : Cat(request.bundle, "/", path)));
  }
  TRY(sys::PivotRoot(root.get()));
  return root;
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
