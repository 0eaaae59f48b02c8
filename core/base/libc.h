// Linux calls that musl declares under another name or not at all.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstdio>

#ifndef __GLIBC__
#include <linux/fs.h>
#include <sys/syscall.h>

using dirent64 = dirent;

inline ssize_t getdents64(int dir, void* buffer, size_t size) {
  return getdents(dir, static_cast<dirent*>(buffer), size);
}

inline int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  return static_cast<int>(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}
#endif
