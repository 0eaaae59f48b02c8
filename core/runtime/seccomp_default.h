// Docker's default seccomp profile (moby/profiles, Apache-2.0; see NOTICE) in wherry's terms: which
// system calls a container may make, depending on its capabilities and the machine. Calls that
// exist on no supported machine are left out. The unit test holds it against Docker's own file.
// Internal to core/runtime.
#pragma once

#include <linux/capability.h>

#include "core/runtime/seccomp_compiler.h"

namespace wherry::runtime::seccomp::docker {

// clang-format off
// Allowed for every container.
inline constexpr Sys kAlways[] = {
    Sys::k__llseek, Sys::k__newselect, Sys::k_accept, Sys::k_accept4, Sys::k_access,
    Sys::k_adjtimex, Sys::k_alarm, Sys::k_bind, Sys::k_brk, Sys::k_cachestat, Sys::k_capget,
    Sys::k_capset, Sys::k_chdir, Sys::k_chmod, Sys::k_chown, Sys::k_chown32, Sys::k_clock_adjtime,
    Sys::k_clock_adjtime64, Sys::k_clock_getres, Sys::k_clock_getres_time64, Sys::k_clock_gettime,
    Sys::k_clock_gettime64, Sys::k_clock_nanosleep, Sys::k_clock_nanosleep_time64, Sys::k_close,
    Sys::k_close_range, Sys::k_connect, Sys::k_copy_file_range, Sys::k_creat, Sys::k_dup,
    Sys::k_dup2, Sys::k_dup3, Sys::k_epoll_create, Sys::k_epoll_create1, Sys::k_epoll_ctl,
    Sys::k_epoll_ctl_old, Sys::k_epoll_pwait, Sys::k_epoll_pwait2, Sys::k_epoll_wait,
    Sys::k_epoll_wait_old, Sys::k_eventfd, Sys::k_eventfd2, Sys::k_execve, Sys::k_execveat,
    Sys::k_exit, Sys::k_exit_group, Sys::k_faccessat, Sys::k_faccessat2, Sys::k_fadvise64,
    Sys::k_fadvise64_64, Sys::k_fallocate, Sys::k_fanotify_mark, Sys::k_fchdir, Sys::k_fchmod,
    Sys::k_fchmodat, Sys::k_fchmodat2, Sys::k_fchown, Sys::k_fchown32, Sys::k_fchownat,
    Sys::k_fcntl, Sys::k_fcntl64, Sys::k_fdatasync, Sys::k_fgetxattr, Sys::k_flistxattr,
    Sys::k_flock, Sys::k_fork, Sys::k_fremovexattr, Sys::k_fsetxattr, Sys::k_fstat, Sys::k_fstat64,
    Sys::k_fstatat64, Sys::k_fstatfs, Sys::k_fstatfs64, Sys::k_fsync, Sys::k_ftruncate,
    Sys::k_ftruncate64, Sys::k_futex, Sys::k_futex_requeue, Sys::k_futex_time64, Sys::k_futex_wait,
    Sys::k_futex_waitv, Sys::k_futex_wake, Sys::k_futimesat, Sys::k_get_robust_list,
    Sys::k_get_thread_area, Sys::k_getcpu, Sys::k_getcwd, Sys::k_getdents, Sys::k_getdents64,
    Sys::k_getegid, Sys::k_getegid32, Sys::k_geteuid, Sys::k_geteuid32, Sys::k_getgid,
    Sys::k_getgid32, Sys::k_getgroups, Sys::k_getgroups32, Sys::k_getitimer, Sys::k_getpeername,
    Sys::k_getpgid, Sys::k_getpgrp, Sys::k_getpid, Sys::k_getppid, Sys::k_getpriority,
    Sys::k_getrandom, Sys::k_getresgid, Sys::k_getresgid32, Sys::k_getresuid, Sys::k_getresuid32,
    Sys::k_getrlimit, Sys::k_getrusage, Sys::k_getsid, Sys::k_getsockname, Sys::k_getsockopt,
    Sys::k_gettid, Sys::k_gettimeofday, Sys::k_getuid, Sys::k_getuid32, Sys::k_getxattr,
    Sys::k_getxattrat, Sys::k_inotify_add_watch, Sys::k_inotify_init, Sys::k_inotify_init1,
    Sys::k_inotify_rm_watch, Sys::k_io_cancel, Sys::k_io_destroy, Sys::k_io_getevents,
    Sys::k_io_pgetevents, Sys::k_io_pgetevents_time64, Sys::k_io_setup, Sys::k_io_submit,
    Sys::k_ioctl, Sys::k_ioprio_get, Sys::k_ioprio_set, Sys::k_ipc, Sys::k_kill,
    Sys::k_landlock_add_rule, Sys::k_landlock_create_ruleset, Sys::k_landlock_restrict_self,
    Sys::k_lchown, Sys::k_lchown32, Sys::k_lgetxattr, Sys::k_link, Sys::k_linkat, Sys::k_listen,
    Sys::k_listmount, Sys::k_listxattr, Sys::k_listxattrat, Sys::k_llistxattr, Sys::k_lremovexattr,
    Sys::k_lseek, Sys::k_lsetxattr, Sys::k_lstat, Sys::k_lstat64, Sys::k_madvise,
    Sys::k_map_shadow_stack, Sys::k_membarrier, Sys::k_memfd_create, Sys::k_memfd_secret,
    Sys::k_mincore, Sys::k_mkdir, Sys::k_mkdirat, Sys::k_mknod, Sys::k_mknodat, Sys::k_mlock,
    Sys::k_mlock2, Sys::k_mlockall, Sys::k_mmap, Sys::k_mmap2, Sys::k_mprotect,
    Sys::k_mq_getsetattr, Sys::k_mq_notify, Sys::k_mq_open, Sys::k_mq_timedreceive,
    Sys::k_mq_timedreceive_time64, Sys::k_mq_timedsend, Sys::k_mq_timedsend_time64,
    Sys::k_mq_unlink, Sys::k_mremap, Sys::k_mseal, Sys::k_msgctl, Sys::k_msgget, Sys::k_msgrcv,
    Sys::k_msgsnd, Sys::k_msync, Sys::k_munlock, Sys::k_munlockall, Sys::k_munmap,
    Sys::k_name_to_handle_at, Sys::k_nanosleep, Sys::k_newfstatat, Sys::k_open, Sys::k_openat,
    Sys::k_openat2, Sys::k_pause, Sys::k_pidfd_open, Sys::k_pidfd_send_signal, Sys::k_pipe,
    Sys::k_pipe2, Sys::k_pkey_alloc, Sys::k_pkey_free, Sys::k_pkey_mprotect, Sys::k_poll,
    Sys::k_ppoll, Sys::k_ppoll_time64, Sys::k_prctl, Sys::k_pread64, Sys::k_preadv, Sys::k_preadv2,
    Sys::k_prlimit64, Sys::k_process_mrelease, Sys::k_pselect6, Sys::k_pselect6_time64,
    Sys::k_pwrite64, Sys::k_pwritev, Sys::k_pwritev2, Sys::k_read, Sys::k_readahead,
    Sys::k_readlink, Sys::k_readlinkat, Sys::k_readv, Sys::k_recv, Sys::k_recvfrom, Sys::k_recvmmsg,
    Sys::k_recvmmsg_time64, Sys::k_recvmsg, Sys::k_remap_file_pages, Sys::k_removexattr,
    Sys::k_removexattrat, Sys::k_rename, Sys::k_renameat, Sys::k_renameat2, Sys::k_restart_syscall,
    Sys::k_rmdir, Sys::k_rseq, Sys::k_rt_sigaction, Sys::k_rt_sigpending, Sys::k_rt_sigprocmask,
    Sys::k_rt_sigqueueinfo, Sys::k_rt_sigreturn, Sys::k_rt_sigsuspend, Sys::k_rt_sigtimedwait,
    Sys::k_rt_sigtimedwait_time64, Sys::k_rt_tgsigqueueinfo, Sys::k_sched_get_priority_max,
    Sys::k_sched_get_priority_min, Sys::k_sched_getaffinity, Sys::k_sched_getattr,
    Sys::k_sched_getparam, Sys::k_sched_getscheduler, Sys::k_sched_rr_get_interval,
    Sys::k_sched_rr_get_interval_time64, Sys::k_sched_setaffinity, Sys::k_sched_setattr,
    Sys::k_sched_setparam, Sys::k_sched_setscheduler, Sys::k_sched_yield, Sys::k_seccomp,
    Sys::k_select, Sys::k_semctl, Sys::k_semget, Sys::k_semop, Sys::k_semtimedop,
    Sys::k_semtimedop_time64, Sys::k_send, Sys::k_sendfile, Sys::k_sendfile64, Sys::k_sendmmsg,
    Sys::k_sendmsg, Sys::k_sendto, Sys::k_set_robust_list, Sys::k_set_thread_area,
    Sys::k_set_tid_address, Sys::k_setfsgid, Sys::k_setfsgid32, Sys::k_setfsuid, Sys::k_setfsuid32,
    Sys::k_setgid, Sys::k_setgid32, Sys::k_setgroups, Sys::k_setgroups32, Sys::k_setitimer,
    Sys::k_setpgid, Sys::k_setpriority, Sys::k_setregid, Sys::k_setregid32, Sys::k_setresgid,
    Sys::k_setresgid32, Sys::k_setresuid, Sys::k_setresuid32, Sys::k_setreuid, Sys::k_setreuid32,
    Sys::k_setrlimit, Sys::k_setsid, Sys::k_setsockopt, Sys::k_setuid, Sys::k_setuid32,
    Sys::k_setxattr, Sys::k_setxattrat, Sys::k_shmat, Sys::k_shmctl, Sys::k_shmdt, Sys::k_shmget,
    Sys::k_shutdown, Sys::k_sigaltstack, Sys::k_signalfd, Sys::k_signalfd4, Sys::k_sigprocmask,
    Sys::k_sigreturn, Sys::k_socketcall, Sys::k_socketpair, Sys::k_splice, Sys::k_stat,
    Sys::k_stat64, Sys::k_statfs, Sys::k_statfs64, Sys::k_statmount, Sys::k_statx, Sys::k_symlink,
    Sys::k_symlinkat, Sys::k_sync, Sys::k_sync_file_range, Sys::k_syncfs, Sys::k_sysinfo,
    Sys::k_tee, Sys::k_tgkill, Sys::k_time, Sys::k_timer_create, Sys::k_timer_delete,
    Sys::k_timer_getoverrun, Sys::k_timer_gettime, Sys::k_timer_gettime64, Sys::k_timer_settime,
    Sys::k_timer_settime64, Sys::k_timerfd_create, Sys::k_timerfd_gettime, Sys::k_timerfd_gettime64,
    Sys::k_timerfd_settime, Sys::k_timerfd_settime64, Sys::k_times, Sys::k_tkill, Sys::k_truncate,
    Sys::k_truncate64, Sys::k_ugetrlimit, Sys::k_umask, Sys::k_uname, Sys::k_unlink,
    Sys::k_unlinkat, Sys::k_uretprobe, Sys::k_utime, Sys::k_utimensat, Sys::k_utimensat_time64,
    Sys::k_utimes, Sys::k_vfork, Sys::k_vmsplice, Sys::k_wait4, Sys::k_waitid, Sys::k_waitpid,
    Sys::k_write, Sys::k_writev,
};
// Safe since ptrace and seccomp were put in order (4.8).
inline constexpr Sys kTracing[] = {Sys::k_process_vm_readv, Sys::k_process_vm_writev, Sys::k_ptrace};
inline constexpr Sys kSocket[] = {Sys::k_socket};
inline constexpr Sys kPersonality[] = {Sys::k_personality};
inline constexpr Sys kClone[] = {Sys::k_clone};
inline constexpr Sys kClone3[] = {Sys::k_clone3};
inline constexpr Sys kOnArm[] = {
    Sys::k_arm_fadvise64_64, Sys::k_arm_sync_file_range, Sys::k_breakpoint, Sys::k_cacheflush,
    Sys::k_set_tls, Sys::k_sync_file_range2,
};
inline constexpr Sys kOnAmd64[] = {Sys::k_arch_prctl};
inline constexpr Sys kOnX86[] = {Sys::k_modify_ldt};
inline constexpr Sys kWithDacReadSearch[] = {Sys::k_open_by_handle_at};
inline constexpr Sys kWithSysAdmin[] = {
    Sys::k_bpf, Sys::k_clone, Sys::k_clone3, Sys::k_fanotify_init, Sys::k_fsconfig, Sys::k_fsmount,
    Sys::k_fsopen, Sys::k_fspick, Sys::k_lookup_dcookie, Sys::k_lsm_get_self_attr,
    Sys::k_lsm_list_modules, Sys::k_lsm_set_self_attr, Sys::k_mount, Sys::k_mount_setattr,
    Sys::k_move_mount, Sys::k_open_tree, Sys::k_perf_event_open, Sys::k_quotactl,
    Sys::k_quotactl_fd, Sys::k_setdomainname, Sys::k_sethostname, Sys::k_setns, Sys::k_syslog,
    Sys::k_umount, Sys::k_umount2, Sys::k_unshare,
};
inline constexpr Sys kWithSysBoot[] = {Sys::k_reboot};
inline constexpr Sys kWithSysChroot[] = {Sys::k_chroot};
inline constexpr Sys kWithSysModule[] = {Sys::k_delete_module, Sys::k_finit_module, Sys::k_init_module};
inline constexpr Sys kWithSysPacct[] = {Sys::k_acct};
inline constexpr Sys kWithSysPtrace[] = {
    Sys::k_kcmp, Sys::k_pidfd_getfd, Sys::k_process_madvise, Sys::k_process_vm_readv,
    Sys::k_process_vm_writev, Sys::k_ptrace,
};
inline constexpr Sys kWithSysRawio[] = {Sys::k_ioperm, Sys::k_iopl};
inline constexpr Sys kWithSysTime[] = {
    Sys::k_clock_settime, Sys::k_clock_settime64, Sys::k_settimeofday, Sys::k_stime,
};
inline constexpr Sys kWithSysTtyConfig[] = {Sys::k_vhangup};
inline constexpr Sys kWithSysNice[] = {
    Sys::k_get_mempolicy, Sys::k_mbind, Sys::k_set_mempolicy, Sys::k_set_mempolicy_home_node,
};
inline constexpr Sys kWithSyslog[] = {Sys::k_syslog};
inline constexpr Sys kWithBpf[] = {Sys::k_bpf};
inline constexpr Sys kWithPerfmon[] = {Sys::k_perf_event_open};
// clang-format on

// AF_ALG (38) and AF_VSOCK (40) reach code of the kernel that no ordinary container needs.
inline constexpr Condition kBelowAlg[] = {{0, Compare::kLess, 38}};
inline constexpr Condition kBetweenAlgAndVsock[] = {{0, Compare::kEqual, 39}};
inline constexpr Condition kAboveVsock[] = {{0, Compare::kGreater, 40}};
// Linux, Linux 32-bit, both with UNAME26, and "tell me".
inline constexpr Condition kPersonalityLinux[] = {{0, Compare::kEqual, 0x0}};
inline constexpr Condition kPersonalityLinux32[] = {{0, Compare::kEqual, 0x8}};
inline constexpr Condition kPersonalityUname26[] = {{0, Compare::kEqual, 0x20000}};
inline constexpr Condition kPersonalityLinux32Uname26[] = {{0, Compare::kEqual, 0x20008}};
inline constexpr Condition kPersonalityQuery[] = {{0, Compare::kEqual, 0xffffffff}};
// No CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
inline constexpr Condition kNoNewNamespaces[] = {{0, Compare::kMaskedEqual, 0x7e020000, 0}};

inline constexpr uint8_t kArmHosts =
    static_cast<uint8_t>(Host::kArm64) | static_cast<uint8_t>(Host::kArm);
inline constexpr uint8_t kAmd64Host = static_cast<uint8_t>(Host::kAmd64);

inline constexpr CapabilitySet kSysAdmin = CapabilityBit(CAP_SYS_ADMIN);

inline constexpr Rule kRules[] = {
    {.calls = kAlways},
    {.calls = kTracing, .min_kernel = 4 << 8 | 8},
    {.calls = kSocket, .conditions = kBelowAlg},
    {.calls = kSocket, .conditions = kBetweenAlgAndVsock},
    {.calls = kSocket, .conditions = kAboveVsock},
    {.calls = kPersonality, .conditions = kPersonalityLinux},
    {.calls = kPersonality, .conditions = kPersonalityLinux32},
    {.calls = kPersonality, .conditions = kPersonalityUname26},
    {.calls = kPersonality, .conditions = kPersonalityLinux32Uname26},
    {.calls = kPersonality, .conditions = kPersonalityQuery},
    {.calls = kOnArm, .hosts = kArmHosts},
    {.calls = kOnAmd64, .hosts = kAmd64Host},
    {.calls = kOnX86, .hosts = kAmd64Host},
    {.calls = kWithDacReadSearch, .needs = CapabilityBit(CAP_DAC_READ_SEARCH)},
    {.calls = kWithSysAdmin, .needs = kSysAdmin},
    {.calls = kClone, .conditions = kNoNewNamespaces, .unless = kSysAdmin},
    // The flags of clone3 are in memory, out of a filter's reach: the C library falls back to
    // clone.
    {.calls = kClone3, .action = SECCOMP_RET_ERRNO | ENOSYS, .unless = kSysAdmin},
    {.calls = kWithSysBoot, .needs = CapabilityBit(CAP_SYS_BOOT)},
    {.calls = kWithSysChroot, .needs = CapabilityBit(CAP_SYS_CHROOT)},
    {.calls = kWithSysModule, .needs = CapabilityBit(CAP_SYS_MODULE)},
    {.calls = kWithSysPacct, .needs = CapabilityBit(CAP_SYS_PACCT)},
    {.calls = kWithSysPtrace, .needs = CapabilityBit(CAP_SYS_PTRACE)},
    {.calls = kWithSysRawio, .needs = CapabilityBit(CAP_SYS_RAWIO)},
    {.calls = kWithSysTime, .needs = CapabilityBit(CAP_SYS_TIME)},
    {.calls = kWithSysTtyConfig, .needs = CapabilityBit(CAP_SYS_TTY_CONFIG)},
    {.calls = kWithSysNice, .needs = CapabilityBit(CAP_SYS_NICE)},
    {.calls = kWithSyslog, .needs = CapabilityBit(CAP_SYSLOG)},
    {.calls = kWithBpf, .needs = CapabilityBit(CAP_BPF)},
    {.calls = kWithPerfmon, .needs = CapabilityBit(CAP_PERFMON)},
};

inline constexpr Profile kProfile = {SECCOMP_RET_ERRNO | EPERM, kRules};

}  // namespace wherry::runtime::seccomp::docker
