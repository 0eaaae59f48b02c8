// The compiler behind seccomp.h: rules to classic BPF. Everything is constexpr, so that one and the
// same code makes the default programs at build time and all others at run time. Internal to
// core/runtime.
//
// Code is emitted backwards, from the last instruction to the first: every jump target (always
// forward in classic BPF) has a known place when the jump is made, and a target that conditional
// jumps cannot reach (255 instructions) is brought near by repeating a RET or by an unconditional
// jump.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <vector>

#include "core/runtime/capabilities.h"
#include "core/runtime/syscalls.h"

namespace wherry::runtime::seccomp {

enum class Compare : uint8_t {
  kNotEqual,
  kLess,
  kLessOrEqual,
  kEqual,
  kGreaterOrEqual,
  kGreater,
  kMaskedEqual,  // (argument & value) == datum
};

struct Condition {
  uint8_t index = 0;  // 0 to 5
  Compare compare = Compare::kEqual;
  uint64_t value = 0;
  uint64_t datum = 0;  // kMaskedEqual only
};

// Machines by the names that Docker's profiles give them.
enum class Host : uint8_t { kAmd64 = 1, kArm64 = 2, kArm = 4 };
inline constexpr uint8_t kAllHosts = 7;

struct Rule {
  std::span<const Sys> calls = {};
  uint32_t action = SECCOMP_RET_ALLOW;         // SECCOMP_RET_* with its data
  std::span<const Condition> conditions = {};  // all must hold
  CapabilitySet needs = 0;                     // only with all of these capabilities
  CapabilitySet unless = 0;                    // only without any of these
  uint8_t hosts = kAllHosts;                   // only on these machines
  uint32_t min_kernel = 0;                     // version << 8 | patch level
};

struct Profile {
  uint32_t default_action = SECCOMP_RET_ERRNO | EPERM;
  std::span<const Rule> rules = {};
};

struct AbiTable {
  uint32_t audit_arch;
  std::span<const uint16_t> numbers;  // by Sys
  bool is_64bit;
};

inline constexpr AbiTable kX8664 = {AUDIT_ARCH_X86_64, kX8664Numbers, true};
inline constexpr AbiTable kI386 = {AUDIT_ARCH_I386, kI386Numbers, false};
inline constexpr AbiTable kAarch64 = {AUDIT_ARCH_AARCH64, kAarch64Numbers, true};
inline constexpr AbiTable kArm = {AUDIT_ARCH_ARM, kArmNumbers, false};

inline constexpr AbiTable kAmd64Abis[] = {kX8664, kI386};
inline constexpr AbiTable kArm64Abis[] = {kAarch64, kArm};
inline constexpr AbiTable kArmAbis[] = {kArm};

inline constexpr size_t kMaxInstructions = BPF_MAXINSNS;
inline constexpr uint32_t kX32Bit = 0x40000000;

// Arguments which the kernel reads as 32-bit integers although registers have 64: comparing 64 bits
// there would let a caller get around a rule by setting a high bit (CVE-2019-10063 was that for
// ioctl).
struct IntArguments {
  Sys call;
  uint8_t mask;  // bit n: argument n
};
inline constexpr IntArguments kIntArguments[] = {
    {Sys::k_bpf, 1},         {Sys::k_fcntl, 3},      {Sys::k_ioctl, 3},   {Sys::k_keyctl, 1},
    {Sys::k_personality, 1}, {Sys::k_prctl, 1},      {Sys::k_seccomp, 3}, {Sys::k_setns, 3},
    {Sys::k_setsockopt, 7},  {Sys::k_getsockopt, 7}, {Sys::k_socket, 7},  {Sys::k_socketpair, 7},
};

constexpr uint8_t IntArgumentMask(Sys call, const AbiTable& abi) {
  if (!abi.is_64bit)
    return 0x3f;
  for (const IntArguments& row : kIntArguments) {
    if (row.call == call)
      return row.mask;
  }
  return 0;
}

// Whether calls that no rule names go through, or to whoever listens: newer calls than the profile
// knows must then not be answered with ENOSYS.
constexpr bool IsPermissive(uint32_t action) {
  uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
  return kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG || kind == SECCOMP_RET_TRACE ||
         kind == SECCOMP_RET_USER_NOTIF;
}

// Instructions in reverse order. A Label is the place of an instruction in it.
class Assembler {
 public:
  using Label = uint32_t;

  constexpr Label Emit(uint16_t code, uint32_t k, uint32_t jump_true = 0, uint32_t jump_false = 0) {
    if (size_ >= kMaxInstructions) {
      overflow_ = true;
      return 0;
    }
    code_[size_] =
        sock_filter{code, static_cast<uint8_t>(jump_true), static_cast<uint8_t>(jump_false), k};
    return size_++;
  }

  constexpr Label Load(uint32_t offset) { return Emit(BPF_LD | BPF_W | BPF_ABS, offset); }
  constexpr Label And(uint32_t mask) { return Emit(BPF_ALU | BPF_AND | BPF_K, mask); }

  // An instruction that returns `action`; an earlier one when it is near enough.
  constexpr Label Return(uint32_t action) {
    for (const Returned& old : returned_) {
      if (old.made && old.action == action && size_ - old.label < kReach)
        return old.label;
    }
    Label label = Emit(BPF_RET | BPF_K, action);
    returned_[next_returned_++ % returned_.size()] = {true, action, label};
    return label;
  }

  // if (A compare k) goto yes else goto no.
  constexpr Label Jump(uint16_t compare, uint32_t k, Label yes, Label no) {
    yes = Near(yes);
    no = Near(no);
    return Emit(static_cast<uint16_t>(BPF_JMP | compare | BPF_K), k, size_ - yes - 1,
                size_ - no - 1);
  }

  // Makes `target` the next instruction after what is emitted now.
  constexpr Label Continue(Label target) {
    if (size_ > 0 && target == size_ - 1)
      return target;
    const sock_filter old = code_[target];
    if (old.code == (BPF_RET | BPF_K))
      return Emit(old.code, old.k);
    return Emit(BPF_JMP | BPF_JA, size_ - target - 1);
  }

  constexpr bool overflow() const { return overflow_; }
  constexpr size_t size() const { return size_; }
  constexpr const sock_filter& FromStart(size_t index) const { return code_[size_ - 1 - index]; }

 private:
  static constexpr uint32_t kReach =
      240;  // below 255: room for the few instructions made on the way

  constexpr Label Near(Label target) { return size_ - target < kReach ? target : Continue(target); }

  struct Returned {
    bool made = false;
    uint32_t action = 0;
    Label label = 0;
  };

  std::array<sock_filter, kMaxInstructions> code_{};
  std::array<Returned, 4> returned_{};  // the latest return instructions
  size_t next_returned_ = 0;
  uint32_t size_ = 0;
  bool overflow_ = false;
};

// Code for one condition: goes to `hit` when it holds and to `miss` when not.
class ConditionCode {
 public:
  using Label = Assembler::Label;

  constexpr ConditionCode(Assembler& out, const Condition& condition, bool low_word_only)
      : out_(out),
        condition_(condition),
        low_offset_(16 + 8U * condition.index),
        low_(static_cast<uint32_t>(condition.value)),
        high_(static_cast<uint32_t>(condition.value >> 32)),
        low_word_only_(low_word_only) {}

  constexpr Label Emit(Label hit, Label miss) {
    switch (condition_.compare) {
      case Compare::kEqual:
        return Equal(hit, miss);
      case Compare::kNotEqual:
        return Equal(miss, hit);
      case Compare::kGreaterOrEqual:
        return Ordered(BPF_JGE, hit, miss);
      case Compare::kGreater:
        return Ordered(BPF_JGT, hit, miss);
      case Compare::kLess:
        return Ordered(BPF_JGE, miss, hit);
      case Compare::kLessOrEqual:
        return Ordered(BPF_JGT, miss, hit);
      case Compare::kMaskedEqual:
        return MaskedEqual(hit, miss);
    }
    return miss;
  }

 private:
  constexpr Label Equal(Label hit, Label miss) {
    out_.Jump(BPF_JEQ, low_, hit, miss);
    Label low = out_.Load(low_offset_);
    if (low_word_only_)
      return low;
    out_.Jump(BPF_JEQ, high_, low, miss);
    return out_.Load(low_offset_ + 4);
  }

  constexpr Label Ordered(uint16_t compare, Label hit, Label miss) {
    // A 32-bit argument is below any value that needs more bits.
    if (low_word_only_ && high_ != 0)
      return miss;
    out_.Jump(compare, low_, hit, miss);
    Label low = out_.Load(low_offset_);
    if (low_word_only_)
      return low;
    Label same = out_.Jump(BPF_JEQ, high_, low, miss);
    out_.Jump(BPF_JGT, high_, hit, same);
    return out_.Load(low_offset_ + 4);
  }

  constexpr Label MaskedEqual(Label hit, Label miss) {
    auto datum_low = static_cast<uint32_t>(condition_.datum);
    auto datum_high = static_cast<uint32_t>(condition_.datum >> 32);
    if ((datum_low & ~low_) != 0)
      return miss;
    out_.Jump(BPF_JEQ, datum_low, hit, miss);
    out_.And(low_);
    Label low = out_.Load(low_offset_);
    if (low_word_only_)
      return low;
    if ((datum_high & ~high_) != 0)
      return miss;
    if (high_ == 0)
      return low;
    out_.Jump(BPF_JEQ, datum_high, low, miss);
    out_.And(high_);
    return out_.Load(low_offset_ + 4);
  }

  Assembler& out_;
  const Condition& condition_;
  uint32_t low_offset_;
  uint32_t low_;
  uint32_t high_;
  bool low_word_only_;
};

// The tree of one ABI.
class AbiCompiler {
 public:
  using Label = Assembler::Label;

  // `active`: positions in profile.rules of the rules whose requirements are met, ascending.
  constexpr AbiCompiler(Assembler& out, const Profile& profile, std::span<const uint16_t> active,
                        const AbiTable& abi)
      : out_(out), profile_(profile), abi_(abi) {
    CollectCalls(active);
    MakeSegments();
  }

  // Emits everything and gives the first instruction, which loads the number.
  constexpr Label Emit() {
    Label root = Tree(0, segments_.size());
    out_.Continue(root);
    return out_.Load(0);
  }

 private:
  // A system call and one of the rules that name it, in one number that sorts by system call, then
  // by order of the rules.
  class Entry {
   public:
    constexpr Entry(uint32_t number, uint16_t rule, uint8_t int_arguments)
        : key_(uint64_t{number} << 32 | uint64_t{rule} << 8 | int_arguments) {}
    constexpr uint32_t number() const { return static_cast<uint32_t>(key_ >> 32); }
    constexpr uint16_t rule() const { return static_cast<uint16_t>(key_ >> 8); }
    constexpr uint8_t int_arguments() const { return static_cast<uint8_t>(key_); }
    constexpr bool SameOutcome(const Entry& other) const {
      return static_cast<uint32_t>(key_) == static_cast<uint32_t>(other.key_);
    }
    constexpr bool operator<(const Entry& other) const { return key_ < other.key_; }

   private:
    uint64_t key_;
  };
  // What happens to a number: a fixed action, or the rules entries_[first, last).
  struct Outcome {
    uint32_t action = 0;
    uint32_t first = 0;
    uint32_t last = 0;
  };
  // Numbers from `start` up to the next segment.
  struct Segment {
    uint32_t start;
    Outcome outcome;
  };
  struct Leaf {
    Outcome outcome;
    Label label;
  };

  constexpr void CollectCalls(std::span<const uint16_t> active) {
    entries_.reserve(kSyscallCount);
    segments_.reserve(kSyscallCount / 2);
    for (uint16_t index : active) {
      for (Sys call : profile_.rules[index].calls) {
        uint16_t cell = abi_.numbers[static_cast<size_t>(call)];
        if (cell == kNoSyscall)
          continue;
        uint8_t int_arguments =
            profile_.rules[index].conditions.empty() ? 0 : IntArgumentMask(call, abi_);
        entries_.emplace_back(SyscallNumber(cell), index, int_arguments);
      }
    }
    std::sort(entries_.begin(), entries_.end());
  }

  constexpr void MakeSegments() {
    uint32_t highest = 0;
    for (const Entry& entry : entries_) {
      if (entry.number() < kArmPrivateBase)
        highest = entry.number();
    }
    uint32_t above = IsPermissive(profile_.default_action) ? profile_.default_action
                                                           : SECCOMP_RET_ERRNO | ENOSYS;
    uint32_t next = 0;
    for (uint32_t first = 0; first < entries_.size();) {
      uint32_t last = first + 1;
      uint32_t number = entries_[first].number();
      while (last < entries_.size() && entries_[last].number() == number)
        ++last;
      if (number > next)
        AddSegment(next, {next > highest ? above : profile_.default_action});
      AddSegment(number, OutcomeOf(first, last));
      next = number + 1;
      first = last;
    }
    AddSegment(next, {above});
    if (abi_.audit_arch == AUDIT_ARCH_X86_64)
      AddSegment(kX32Bit, {SECCOMP_RET_ERRNO | ENOSYS});
  }

  constexpr void AddSegment(uint32_t start, Outcome outcome) {
    if (!segments_.empty() && Same(segments_.back().outcome, outcome))
      return;
    segments_.push_back({start, outcome});
  }

  constexpr Outcome OutcomeOf(uint32_t first, uint32_t last) const {
    const Rule& rule = RuleOf(first);
    if (rule.conditions.empty())
      return {rule.action};
    return {0, first, last};
  }

  constexpr const Rule& RuleOf(uint32_t entry) const {
    return profile_.rules[entries_[entry].rule()];
  }

  constexpr bool Same(const Outcome& a, const Outcome& b) const {
    if (a.action != b.action || a.last - a.first != b.last - b.first)
      return false;
    for (uint32_t i = 0; i < a.last - a.first; ++i) {
      if (!entries_[a.first + i].SameOutcome(entries_[b.first + i]))
        return false;
    }
    return true;
  }

  // Code that decides among segments_[first, last).
  constexpr Label Tree(size_t first, size_t last) {
    if (last - first == 1)
      return LeafCode(segments_[first].outcome);
    size_t middle = (first + last) / 2;
    Label right = Tree(middle, last);
    Label left = Tree(first, middle);
    return out_.Jump(BPF_JGE, segments_[middle].start, right, left);
  }

  constexpr Label LeafCode(const Outcome& outcome) {
    if (outcome.first == outcome.last)
      return out_.Return(outcome.action);
    for (const Leaf& leaf : leaves_) {
      if (Same(leaf.outcome, outcome))
        return leaf.label;
    }
    Label next = out_.Return(profile_.default_action);
    for (uint32_t entry = outcome.last; entry-- > outcome.first;) {
      const Rule& rule = RuleOf(entry);
      Label here = out_.Return(rule.action);
      for (size_t i = rule.conditions.size(); i-- > 0;) {
        const Condition& condition = rule.conditions[i];
        bool low_word_only = (entries_[entry].int_arguments() >> condition.index & 1) != 0;
        here = ConditionCode(out_, condition, low_word_only).Emit(here, next);
      }
      next = here;
    }
    leaves_.push_back({outcome, next});
    return next;
  }

  Assembler& out_;
  const Profile& profile_;
  const AbiTable& abi_;
  std::vector<Entry> entries_;
  std::vector<Segment> segments_;
  std::vector<Leaf> leaves_;
};

constexpr bool Applies(const Rule& rule, Host host, CapabilitySet capabilities, uint32_t kernel) {
  return (rule.needs & ~capabilities) == 0 && (rule.unless & capabilities) == 0 &&
         (rule.hosts & static_cast<uint8_t>(host)) != 0 && rule.min_kernel <= kernel;
}

// The whole program, in `out`; out.overflow() when it does not fit.
constexpr void Compile(Assembler& out, const Profile& profile, std::span<const AbiTable> abis,
                       Host host, CapabilitySet capabilities, uint32_t kernel) {
  std::vector<uint16_t> active;
  for (size_t i = 0; i < profile.rules.size(); ++i) {
    if (Applies(profile.rules[i], host, capabilities, kernel))
      active.push_back(static_cast<uint16_t>(i));
  }
  std::array<Assembler::Label, 2> starts{};
  for (size_t i = 0; i < abis.size(); ++i)
    starts[i] = AbiCompiler(out, profile, active, abis[i]).Emit();
  Assembler::Label next = out.Emit(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  for (size_t i = abis.size(); i-- > 0;)
    next = out.Jump(BPF_JEQ, abis[i].audit_arch, starts[i], next);
  out.Continue(next);
  out.Load(4);
}

}  // namespace wherry::runtime::seccomp
