// The kernel's mount API as functions and constants: glibc's <sys/mount.h> has them, musl's has
// mount() and MS_* only.
#pragma once

#include <sys/mount.h>

#ifndef __GLIBC__
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

inline int fsopen(const char* type, unsigned flags) {
  return static_cast<int>(syscall(SYS_fsopen, type, flags));
}

inline int fsconfig(int fd, unsigned command, const char* key, const void* value, int aux) {
  return static_cast<int>(syscall(SYS_fsconfig, fd, command, key, value, aux));
}

inline int fsmount(int fd, unsigned flags, unsigned attributes) {
  return static_cast<int>(syscall(SYS_fsmount, fd, flags, attributes));
}

inline int open_tree(int dir, const char* path, unsigned flags) {
  return static_cast<int>(syscall(SYS_open_tree, dir, path, flags));
}

inline int move_mount(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  return static_cast<int>(syscall(SYS_move_mount, from_dir, from, to_dir, to, flags));
}

inline int mount_setattr(int dir, const char* path, unsigned flags, mount_attr* attributes,
                         size_t size) {
  return static_cast<int>(syscall(SYS_mount_setattr, dir, path, flags, attributes, size));
}
#endif
