// What the shim does with the container's cgroup when the container ends. Part of wherry-shim: no
// heap, one thread.
#pragma once

namespace wherry::shim {

// Whether the kernel's out-of-memory killer has struck in the cgroup (memory.events, oom_kill).
// False without the controller.
bool OomKilled(int cgroup);

// SIGKILL for everything in the cgroup: cgroup.kill (Linux 5.14), else process by process.
void KillAll(int cgroup);

// Removes the cgroup and what is below it; gives up after a second of EBUSY.
void RemoveCgroup(int cgroup);

}  // namespace wherry::shim
