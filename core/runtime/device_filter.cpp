#include "core/runtime/device_filter.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

constexpr size_t kMaxInstructions = 4096;

constexpr oci::DeviceRule Allow(char type, std::optional<uint32_t> major,
                                std::optional<uint32_t> minor) {
  return {.allow = true,
          .type = type,
          .major = major,
          .minor = minor,
          .read = true,
          .write = true,
          .mknod = true};
}
constexpr oci::DeviceRule AllowMknod(char type) {
  return {.allow = true,
          .type = type,
          .major = {},
          .minor = {},
          .read = false,
          .write = false,
          .mknod = true};
}

constexpr std::array kDefaultRules = {
    AllowMknod('c'),
    AllowMknod('b'),
    Allow('c', 1, 3),               // null
    Allow('c', 1, 5),               // zero
    Allow('c', 1, 7),               // full
    Allow('c', 1, 8),               // random
    Allow('c', 1, 9),               // urandom
    Allow('c', 5, 0),               // tty
    Allow('c', 5, 1),               // console
    Allow('c', 5, 2),               // ptmx
    Allow('c', 136, std::nullopt),  // pts/*
};

// Registers: r1 the context, later scratch; r2 type; r3 the accesses not decided yet; r4 major; r5
// minor; r0 the answer.
constexpr bpf_insn Instruction(int code, uint8_t destination, uint8_t source, int16_t offset,
                               int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = destination & 0xf;
  instruction.src_reg = source & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  return instruction;
}

bpf_insn LoadContext(uint8_t destination, size_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, destination, BPF_REG_1,
                     static_cast<int16_t>(offset), 0);
}

int32_t AccessBits(const oci::DeviceRule& rule) {
  return (rule.mknod ? BPF_DEVCG_ACC_MKNOD : 0) | (rule.read ? BPF_DEVCG_ACC_READ : 0) |
         (rule.write ? BPF_DEVCG_ACC_WRITE : 0);
}

bool AllowsAll(const oci::DeviceRule& rule) {
  return rule.allow && rule.read && rule.write && rule.mknod;
}

// How many rules from the first one on allow everything to single devices of the same type and
// major number.
size_t CountMinors(std::span<const oci::DeviceRule> rules) {
  const oci::DeviceRule& first = rules[0];
  auto other = std::ranges::find_if_not(rules, [&first](const oci::DeviceRule& rule) {
    return AllowsAll(rule) && rule.type != 'a' && (rule.type == 'b') == (first.type == 'b') &&
           rule.major && rule.major == first.major && rule.minor;
  });
  return static_cast<size_t>(other - rules.begin());
}

// The instructions of rules; control leaves at the end of each when it does not decide.
class RuleCode {
 public:
  void Append(const oci::DeviceRule& rule) {
    if (rule.type != 'a') {
      SkipUnless(BPF_REG_2, TypeNumber(rule));
      if (rule.major)
        SkipUnless(BPF_REG_4, static_cast<int32_t>(*rule.major));
      if (rule.minor)
        SkipUnless(BPF_REG_5, static_cast<int32_t>(*rule.minor));
      if (rule.allow && !AllowsAll(rule)) {
        // Granted kinds are decided; with none left the access is allowed.
        code_.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~AccessBits(rule)));
        SkipUnless(BPF_REG_3, 0);
      } else if (!rule.allow) {
        code_.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
        code_.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, AccessBits(rule)));
        Skip(BPF_JEQ, BPF_REG_1, 0);
      }
    }
    Return(rule.allow);
  }

  // Rules of one major number that allow everything: the kernel's verifier follows each jump, so
  // that the time to load a program is that of its jumps.
  void AppendMinors(std::span<const oci::DeviceRule> rules) {
    SkipUnless(BPF_REG_2, TypeNumber(rules[0]));
    SkipUnless(BPF_REG_4, static_cast<int32_t>(*rules[0].major));
    for (size_t i = 0; i + 1 < rules.size(); ++i) {
      auto to_return = static_cast<int16_t>(rules.size() - i - 1);
      code_.push_back(Instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_5, 0, to_return,
                                  static_cast<int32_t>(*rules[i].minor)));
    }
    SkipUnless(BPF_REG_5, static_cast<int32_t>(*rules.back().minor));
    Return(true);
  }

  std::vector<bpf_insn>& code() { return code_; }

 private:
  static int32_t TypeNumber(const oci::DeviceRule& rule) {
    return rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
  }

  void Skip(int condition, uint8_t reg, int32_t value) {
    skips_.push_back(code_.size());
    code_.push_back(Instruction(BPF_JMP | condition | BPF_K, reg, 0, 0, value));
  }
  void SkipUnless(uint8_t reg, int32_t value) { Skip(BPF_JNE, reg, value); }

  // Ends what was begun: what it has skipped goes on after it.
  void Return(bool allow) {
    code_.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow ? 1 : 0));
    code_.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
    for (size_t skip : skips_)
      code_[skip].off = static_cast<int16_t>(code_.size() - skip - 1);
    skips_.clear();
  }

  std::vector<bpf_insn> code_;
  std::vector<size_t> skips_;  // jumps of the current rule to its end
};

Result<> CheckRule(const oci::DeviceRule& rule) {
  if (std::string_view("abcu").find(rule.type) == std::string_view::npos) {
    return Fail(Errc::kInvalid,
                Cat("linux.resources.devices: unknown device type '", rule.type, "'"));
  }
  // The kernel compares device numbers of 12 and 20 bits; larger ones never occur.
  if (rule.major.value_or(0) >= 1U << 12 || rule.minor.value_or(0) >= 1U << 20) {
    return Fail(Errc::kInvalid, Cat("linux.resources.devices: no device has the number ",
                                    rule.major.value_or(0), ":", rule.minor.value_or(0)));
  }
  return {};
}

}  // namespace

std::span<const oci::DeviceRule> DefaultDeviceRules() {
  return kDefaultRules;
}

Result<std::vector<bpf_insn>> CompileDeviceRules(std::span<const oci::DeviceRule> rules) {
  std::vector<oci::DeviceRule> all(rules.begin(), rules.end());
  for (const oci::DeviceRule& rule : all)
    TRY(CheckRule(rule));
  all.insert(all.end(), kDefaultRules.begin(), kDefaultRules.end());

  RuleCode out;
  out.code() = {
      LoadContext(BPF_REG_2, offsetof(bpf_cgroup_dev_ctx, access_type)),
      Instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0),
      Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff),
      Instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16),
      LoadContext(BPF_REG_4, offsetof(bpf_cgroup_dev_ctx, major)),
      LoadContext(BPF_REG_5, offsetof(bpf_cgroup_dev_ctx, minor)),
  };
  bool denies = false;
  bool complete = false;      // a rule for everything ends the list
  std::ranges::reverse(all);  // the last one decides
  for (std::span rest = std::span<const oci::DeviceRule>(all); !rest.empty() && !complete;) {
    size_t minors = CountMinors(rest);
    if (minors > 1)
      out.AppendMinors(rest.first(minors));
    else
      out.Append(rest[0]);
    denies = denies || !rest[0].allow;
    complete = rest[0].type == 'a';
    rest = rest.subspan(std::max<size_t>(minors, 1));
  }
  if (complete && !denies)
    return std::vector<bpf_insn>();
  if (!complete)
    out.Append(oci::DeviceRule{});  // everything else is denied
  if (out.code().size() > kMaxInstructions) {
    return Fail(Errc::kUnsupported,
                "linux.resources.devices has more rules than a device program can hold");
  }
  return std::move(out.code());
}

}  // namespace wherry::runtime
