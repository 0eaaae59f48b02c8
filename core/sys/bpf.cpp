#include "core/sys/bpf.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace wherry::sys {

namespace {

// More programs than anyone attaches to one cgroup; the kernel's own limit for BPF_F_ALLOW_MULTI.
constexpr size_t kMaxPrograms = 64;

int Bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

// The ids of the device programs attached to this cgroup itself.
struct Attached {
  std::array<uint32_t, kMaxPrograms> ids{};
  size_t count = 0;
};

Result<Attached> QueryDevicePrograms(int cgroup_dir) {
  Attached found;
  bpf_attr attributes{};
  attributes.query.target_fd = static_cast<uint32_t>(cgroup_dir);
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_cnt = kMaxPrograms;
  attributes.query.prog_ids = reinterpret_cast<uintptr_t>(found.ids.data());
  if (Bpf(BPF_PROG_QUERY, attributes) != 0)
    return FailSys("bpf(BPF_PROG_QUERY)");
  found.count = attributes.query.prog_cnt;
  return found;
}

Result<UniqueFd> ProgramById(uint32_t id) {
  bpf_attr attributes{};
  attributes.prog_id = id;
  UniqueFd program(Bpf(BPF_PROG_GET_FD_BY_ID, attributes));
  if (!program)
    return FailSys("bpf(BPF_PROG_GET_FD_BY_ID)");
  return program;
}

Result<> Detach(int cgroup_dir, int program) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup_dir);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  if (Bpf(BPF_PROG_DETACH, attributes) != 0)
    return FailSys("bpf(BPF_PROG_DETACH)");
  return {};
}

Result<> DetachById(int cgroup_dir, uint32_t id) {
  UniqueFd program = TRY(ProgramById(id));
  return Detach(cgroup_dir, program.get());
}

// `replaced`: descriptor of the program to put this one in place of, or -1.
int Attach(int cgroup_dir, int program, int replaced) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup_dir);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced >= 0) {
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = static_cast<uint32_t>(replaced);
  }
  return Bpf(BPF_PROG_ATTACH, attributes);
}

}  // namespace

Result<UniqueFd> LoadDeviceProgram(std::span<const bpf_insn> code) {
  static constexpr char kLicense[] =
      "Apache-2.0";  // the program calls no helper that asks for another
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    bpf_attr attributes{};
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insns = reinterpret_cast<uintptr_t>(code.data());
    attributes.insn_cnt = static_cast<uint32_t>(code.size());
    attributes.license = reinterpret_cast<uintptr_t>(kLicense);
    UniqueFd program(Bpf(BPF_PROG_LOAD, attributes));
    if (program)
      return program;
    if (errno == EAGAIN && attempt < kAttempts)
      continue;
    int error = errno;
    Error failure = Error::Sys(error, "bpf(BPF_PROG_LOAD)", "device program");
    if (error == EINVAL || error == ENOSYS) {
      return std::unexpected(std::move(failure)
                                 .WithCode(Errc::kUnsupported)
                                 .Wrap("device rules need a kernel with CONFIG_CGROUP_BPF"));
    }
    return std::unexpected(std::move(failure));
  }
}

Result<> AttachDeviceProgram(int cgroup_dir, int program) {
  Attached old = TRY(QueryDevicePrograms(cgroup_dir));
  if (old.count == 1) {
    UniqueFd replaced = TRY(ProgramById(old.ids[0]));
    if (Attach(cgroup_dir, program, replaced.get()) == 0)
      return {};
    // BPF_F_REPLACE came with 5.6, and the old one may have been attached without
    // BPF_F_ALLOW_MULTI.
    if (errno != EINVAL)
      return FailSys("bpf(BPF_PROG_ATTACH)", "cgroup");
  }
  if (Attach(cgroup_dir, program, -1) != 0)
    return FailSys("bpf(BPF_PROG_ATTACH)", "cgroup");
  for (size_t i = 0; i < old.count; ++i)
    TRY(DetachById(cgroup_dir, old.ids[i]));
  return {};
}

Result<> DetachDevicePrograms(int cgroup_dir) {
  Attached old = TRY(QueryDevicePrograms(cgroup_dir));
  for (size_t i = 0; i < old.count; ++i)
    TRY(DetachById(cgroup_dir, old.ids[i]));
  return {};
}

int SetSeccompFilter(std::span<const sock_filter> code, uint32_t flags) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(code.size());
  program.filter = const_cast<sock_filter*>(code.data());
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  return result < 0 ? -errno : static_cast<int>(result);
}

}  // namespace wherry::sys
