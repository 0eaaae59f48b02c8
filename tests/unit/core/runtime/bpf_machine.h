// Interpreters for the tests of generated programs: classic BPF as seccomp runs it, and the part of
// eBPF that device programs use. Both answer nullopt for anything malformed (a jump out of the
// program, an unknown instruction, no return).
#pragma once

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace wherry::runtime {

class SeccompMachine {
 public:
  SeccompMachine(std::span<const sock_filter> code, const seccomp_data& data)
      : code_(code), data_(data) {}

  std::optional<uint32_t> Run() {
    while (at_ < code_.size()) {
      const sock_filter& instruction = code_[at_++];
      ++steps_;
      switch (instruction.code) {
        case BPF_LD | BPF_W | BPF_ABS:
          if (instruction.k % 4 != 0 || instruction.k >= sizeof data_)
            return std::nullopt;
          std::memcpy(&accumulator_, reinterpret_cast<const char*>(&data_) + instruction.k, 4);
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          accumulator_ &= instruction.k;
          break;
        case BPF_JMP | BPF_JA:
          at_ += instruction.k;
          break;
        case BPF_RET | BPF_K:
          return instruction.k;
        default:
          if (!Branch(instruction))
            return std::nullopt;
      }
    }
    return std::nullopt;
  }

  int steps() const { return steps_; }

 private:
  bool Branch(const sock_filter& instruction) {
    bool taken = false;
    switch (instruction.code) {
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = accumulator_ == instruction.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = accumulator_ >= instruction.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        taken = accumulator_ > instruction.k;
        break;
      default:
        return false;
    }
    at_ += taken ? instruction.jt : instruction.jf;
    return true;
  }

  std::span<const sock_filter> code_;
  const seccomp_data& data_;
  size_t at_ = 0;
  uint32_t accumulator_ = 0;
  int steps_ = 0;
};

class DeviceMachine {
 public:
  DeviceMachine(std::span<const bpf_insn> code, const bpf_cgroup_dev_ctx& context)
      : code_(code), context_(context) {}

  std::optional<bool> Run() {
    for (int steps = 0; at_ < code_.size() && steps < 100000; ++steps) {
      const bpf_insn& instruction = code_[at_++];
      if (instruction.code == (BPF_JMP | BPF_EXIT))
        return registers_[0] != 0;
      if (!Step(instruction))
        return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  bool Step(const bpf_insn& instruction) {
    uint64_t& target = registers_[instruction.dst_reg];
    auto immediate = static_cast<uint32_t>(instruction.imm);
    switch (instruction.code) {
      case BPF_LDX | BPF_MEM | BPF_W: {
        uint32_t word = 0;
        if (instruction.src_reg != BPF_REG_1 || instruction.off < 0 || instruction.off > 8)
          return false;
        std::memcpy(&word, reinterpret_cast<const char*>(&context_) + instruction.off, 4);
        target = word;
        return true;
      }
      case BPF_ALU64 | BPF_MOV | BPF_X:
        target = registers_[instruction.src_reg];
        return true;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = immediate;
        return true;
      case BPF_ALU | BPF_AND | BPF_K:
        target = static_cast<uint32_t>(target) & immediate;
        return true;
      case BPF_ALU | BPF_RSH | BPF_K:
        target = static_cast<uint32_t>(target) >> immediate;
        return true;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (target != immediate)
          at_ += static_cast<size_t>(instruction.off);
        return true;
      case BPF_JMP | BPF_JEQ | BPF_K:
        if (target == immediate)
          at_ += static_cast<size_t>(instruction.off);
        return true;
      default:
        return false;
    }
  }

  std::span<const bpf_insn> code_;
  const bpf_cgroup_dev_ctx& context_;
  size_t at_ = 0;
  uint64_t registers_[11] = {};
};

}  // namespace wherry::runtime
