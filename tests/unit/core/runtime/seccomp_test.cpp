#include "core/runtime/seccomp.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/runtime/seccomp_default.h"
#include "core/runtime/seccomp_native.h"
#include "tests/unit/core/runtime/bpf_machine.h"

namespace wherry::runtime {
namespace {

using seccomp::AbiTable;
using seccomp::Assembler;
using seccomp::Compare;
using seccomp::Host;

constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;

struct HostRow {
  Host host;
  std::string_view name;
  std::span<const AbiTable> abis;
};
const HostRow kHosts[] = {
    {Host::kAmd64, "amd64", seccomp::kAmd64Abis},
    {Host::kArm64, "arm64", seccomp::kArm64Abis},
    {Host::kArm, "arm", seccomp::kArmAbis},
};

const uint64_t kArguments[] = {
    0,          1,          8,           37,          38,          39,           40,
    41,         0x20000,    0x20008,     0x7e020000,  0x10000000,  0x02000000,   0x01200011,
    0xffffffff, 0x80000000, 0x100000026, 0x100000008, 0x100000000, ~uint64_t{0},
};

uint32_t Answer(std::span<const sock_filter> code, uint32_t arch, uint32_t number,
                uint64_t argument) {
  seccomp_data data{};
  data.arch = arch;
  data.nr = static_cast<int>(number);
  for (auto& value : data.args)
    value = argument;
  // The kernel zero-extends the arguments of a 32-bit ABI.
  if (arch == AUDIT_ARCH_ARM || arch == AUDIT_ARCH_I386) {
    for (auto& value : data.args)
      value = static_cast<uint32_t>(value);
  }
  return SeccompMachine(code, data).Run().value_or(0xdeadbeef);
}

std::vector<sock_filter> CompileFor(const seccomp::Profile& profile, const HostRow& host,
                                    CapabilitySet capabilities) {
  auto out = std::make_unique<Assembler>();
  seccomp::Compile(*out, profile, host.abis, host.host, capabilities, seccomp::kOldestKernel);
  EXPECT_FALSE(out->overflow());
  return seccomp::TakeCode(*out);
}

// Docker's JSON evaluated as it is written: the first rule whose names, requirements and arguments
// fit.
class JsonOracle {
 public:
  JsonOracle(JsonValue profile, std::string_view host) : by_call_(kSyscallCount) {
    for (JsonValue json : profile["syscalls"]) {
      if (!OnHost(json, host))
        continue;
      size_t index = rules_.size();
      rules_.push_back(Read(json));
      for (JsonValue name : json["names"]) {
        Sys call = FindSyscall(name.str());
        if (call != Sys::kCount)
          by_call_[static_cast<size_t>(call)].push_back(index);
      }
    }
  }

  uint32_t Evaluate(Sys call, CapabilitySet capabilities, uint64_t argument, bool is_64bit) const {
    // What the kernel makes of the argument: these calls take an int.
    if (!is_64bit || call == Sys::k_socket || call == Sys::k_personality)
      argument = static_cast<uint32_t>(argument);
    for (size_t index : by_call_[static_cast<size_t>(call)]) {
      const Rule& rule = rules_[index];
      if (Required(rule, capabilities) && Matches(rule, argument))
        return rule.action;
    }
    return kEperm;
  }

  // The highest number that a rule in force names.
  uint32_t Highest(const AbiTable& abi, CapabilitySet capabilities) const {
    uint32_t highest = 0;
    for (size_t i = 0; i < kSyscallCount; ++i) {
      if (abi.numbers[i] >= 0xf000 || abi.numbers[i] <= highest)
        continue;
      for (size_t index : by_call_[i]) {
        if (Required(rules_[index], capabilities))
          highest = abi.numbers[i];
      }
    }
    return highest;
  }

 private:
  struct Arg {
    std::string op;
    uint64_t value;
    uint64_t datum;
  };
  struct Rule {
    uint32_t action;
    std::vector<int> includes;
    std::vector<int> excludes;
    std::vector<Arg> args;
  };

  static bool OnHost(JsonValue rule, std::string_view host) {
    bool listed = rule["includes"]["arches"].size() == 0;
    for (JsonValue name : rule["includes"]["arches"])
      listed = listed || name.str() == host;
    for (JsonValue name : rule["excludes"]["arches"])
      listed = listed && name.str() != host;
    return listed;
  }

  static Rule Read(JsonValue json) {
    Rule rule{SECCOMP_RET_ALLOW, {}, {}, {}};
    if (json["action"].str() != "SCMP_ACT_ALLOW") {
      rule.action = SECCOMP_RET_ERRNO | static_cast<uint32_t>(json["errnoRet"].integer(EPERM));
    }
    for (JsonValue name : json["includes"]["caps"])
      rule.includes.push_back(CapabilityNumber(name.str()).value_or(63));
    for (JsonValue name : json["excludes"]["caps"])
      rule.excludes.push_back(CapabilityNumber(name.str()).value_or(63));
    for (JsonValue arg : json["args"]) {
      EXPECT_EQ(arg["index"].integer(), 0);
      rule.args.push_back({std::string(arg["op"].str()),
                           static_cast<uint64_t>(arg["value"].integer()),
                           static_cast<uint64_t>(arg["valueTwo"].integer())});
    }
    return rule;
  }

  static bool Required(const Rule& rule, CapabilitySet capabilities) {
    for (int number : rule.includes) {
      if ((capabilities >> number & 1) == 0)
        return false;
    }
    for (int number : rule.excludes) {
      if ((capabilities >> number & 1) != 0)
        return false;
    }
    return true;
  }

  static bool Matches(const Rule& rule, uint64_t argument) {
    for (const Arg& arg : rule.args) {
      bool fits = arg.op == "SCMP_CMP_LT"   ? argument < arg.value
                  : arg.op == "SCMP_CMP_EQ" ? argument == arg.value
                  : arg.op == "SCMP_CMP_GT" ? argument > arg.value
                                            : (argument & arg.value) == arg.datum;
      if (!fits)
        return false;
    }
    return true;
  }

  std::vector<Rule> rules_;
  std::vector<std::vector<size_t>> by_call_;
};

std::vector<CapabilitySet> InterestingCapabilities() {
  std::vector<CapabilitySet> sets = {kDockerCapabilities, 0, ~CapabilitySet{0}};
  for (int number = 0; number <= 40; ++number)
    sets.push_back(CapabilityBit(number));
  for (int number = 0; number <= 40; ++number)
    sets.push_back(kDockerCapabilities | CapabilityBit(number));
  return sets;
}

void CheckAgainst(const JsonOracle& oracle, const HostRow& host, const AbiTable& abi,
                  CapabilitySet capabilities, std::span<const sock_filter> code) {
  uint32_t highest = oracle.Highest(abi, capabilities);
  for (size_t i = 0; i < kSyscallCount; ++i) {
    if (abi.numbers[i] == kNoSyscall)
      continue;
    uint32_t number = SyscallNumber(abi.numbers[i]);
    std::string_view name = SyscallName(static_cast<Sys>(i));
    for (uint64_t argument : kArguments) {
      uint32_t expected =
          oracle.Evaluate(static_cast<Sys>(i), capabilities, argument, abi.is_64bit);
      // Two names for one number (sync_file_range2 and arm_sync_file_range): either allows it.
      for (size_t j = 0; j < kSyscallCount && expected == kEperm; ++j) {
        if (j == i || abi.numbers[j] != abi.numbers[i])
          continue;
        expected = oracle.Evaluate(static_cast<Sys>(j), capabilities, argument, abi.is_64bit);
      }
      if (expected == kEperm && number > highest)
        expected = kEnosys;
      ASSERT_EQ(Answer(code, abi.audit_arch, number, argument), expected)
          << host.name << " arch " << abi.audit_arch << " " << name << " argument " << argument
          << " capabilities " << capabilities;
    }
  }
}

// WHERRY_DOCKER_SECCOMP, or beside the repository.
std::string DockersProfile() {
  if (const char* path = getenv("WHERRY_DOCKER_SECCOMP"))
    return path;
  std::string_view root = WHERRY_TESTDATA;
  root.remove_suffix(std::string_view("/tests/data").size());
  return Cat(root, "/../shared/data/docker-default-seccomp.json");
}

TEST(SeccompDefault, AgreesWithDockersProfile) {
  auto text = ReadFile(DockersProfile());
  if (!text)
    GTEST_SKIP() << "Docker's profile is not here: " << text.error().message();
  auto json = JsonDocument::Parse(*text, "profile");
  ASSERT_TRUE(json);
  for (const HostRow& host : kHosts) {
    JsonOracle oracle(json->root(), host.name);
    for (CapabilitySet capabilities : InterestingCapabilities()) {
      auto code = CompileFor(seccomp::docker::kProfile, host, capabilities);
      for (const AbiTable& abi : host.abis)
        CheckAgainst(oracle, host, abi, capabilities, code);
      if (host.host != seccomp::kNativeHost)
        continue;
      // The same file read at run time gives the same answers.
      auto read = CompileSeccomp(json->root(), capabilities);
      ASSERT_TRUE(read) << read.error().message();
      for (const AbiTable& abi : host.abis)
        CheckAgainst(oracle, host, abi, capabilities, read->code());
    }
  }
}

TEST(SeccompDefault, PrecompiledIsWhatTheCompilerMakes) {
  for (CapabilitySet capabilities :
       {kDockerCapabilities, kDockerCapabilities | CapabilityBit(CAP_NET_ADMIN)}) {
    SeccompFilter filter = DefaultSeccomp(capabilities);
    HostRow host{seccomp::kNativeHost, "", seccomp::kNativeAbis};
    auto code = CompileFor(seccomp::docker::kProfile, host, capabilities);
    ASSERT_EQ(filter.code().size(), code.size());
    for (size_t i = 0; i < code.size(); ++i) {
      EXPECT_EQ(0, memcmp(&filter.code()[i], &code[i], sizeof code[i])) << i;
    }
  }
}

TEST(SeccompDefault, IsSmallAndShallow) {
  for (const HostRow& host : kHosts) {
    auto code = CompileFor(seccomp::docker::kProfile, host, kDockerCapabilities);
    EXPECT_LE(code.size(), 400u) << host.name;
    int deepest = 0;
    for (uint32_t number = 0; number < 600; ++number) {
      seccomp_data data{};
      data.arch = host.abis[0].audit_arch;
      data.nr = static_cast<int>(number);
      SeccompMachine machine(code, data);
      EXPECT_TRUE(machine.Run());
      deepest = std::max(deepest, machine.steps());
    }
    EXPECT_LE(deepest, 24) << host.name;
    RecordProperty(Cat("instructions_", host.name), static_cast<int>(code.size()));
  }
}

TEST(SeccompDefault, StrangersAreRefused) {
  for (const HostRow& host : kHosts) {
    auto code = CompileFor(seccomp::docker::kProfile, host, kDockerCapabilities);
    EXPECT_EQ(Answer(code, AUDIT_ARCH_S390X, 4, 0),
              static_cast<uint32_t>(SECCOMP_RET_KILL_PROCESS));
    EXPECT_EQ(Answer(code, 0, 0, 0), static_cast<uint32_t>(SECCOMP_RET_KILL_PROCESS));
    for (const AbiTable& abi : host.abis) {
      EXPECT_EQ(Answer(code, abi.audit_arch, 5000, 0), kEnosys);
      EXPECT_EQ(Answer(code, abi.audit_arch, 0x40000000, 0), kEnosys);
      EXPECT_EQ(Answer(code, abi.audit_arch, 0xffffffff, 0), kEnosys);
    }
  }
}

TEST(SeccompDefault, CompilesInMicroseconds) {
  constexpr int kRounds = 200;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i)
    DefaultSeccomp(static_cast<CapabilitySet>(i) << 21);
  auto took = std::chrono::steady_clock::now() - start;
  auto each = std::chrono::duration_cast<std::chrono::microseconds>(took).count() / kRounds;
  RecordProperty("microseconds", static_cast<int>(each));
  EXPECT_LT(each, 2000);
}

// Each operator at and around its value, in both widths.
TEST(SeccompCompiler, ComparesAsWritten) {
  const uint64_t values[] = {
      0, 1, 5, 0xffffffff, 0x100000000, 0x100000005, 0x7fffffffffffffff, ~uint64_t{0}};
  const Compare compares[] = {Compare::kNotEqual,   Compare::kLess,           Compare::kLessOrEqual,
                              Compare::kEqual,      Compare::kGreaterOrEqual, Compare::kGreater,
                              Compare::kMaskedEqual};
  const Sys calls[] = {Sys::k_lseek};
  for (Compare compare : compares) {
    for (uint64_t value : values) {
      seccomp::Condition conditions[] = {{0, compare, value, value & 0x100000001}};
      seccomp::Rule rules[] = {{.calls = calls, .conditions = conditions}};
      auto code = CompileFor({kEperm, rules}, kHosts[0], 0);
      for (uint64_t base : values) {
        for (uint64_t argument : {base - 1, base, base + 1}) {
          bool expected = compare == Compare::kNotEqual         ? argument != value
                          : compare == Compare::kLess           ? argument < value
                          : compare == Compare::kLessOrEqual    ? argument <= value
                          : compare == Compare::kEqual          ? argument == value
                          : compare == Compare::kGreaterOrEqual ? argument >= value
                          : compare == Compare::kGreater
                              ? argument > value
                              : (argument & value) == (value & 0x100000001);
          EXPECT_EQ(Answer(code, AUDIT_ARCH_X86_64, 8, argument),
                    expected ? SECCOMP_RET_ALLOW : kEperm)
              << static_cast<int>(compare) << " " << value << " " << argument;
        }
      }
    }
  }
}

Result<SeccompFilter> FromText(const std::string& text, CapabilitySet bounding = 0) {
  auto json = JsonDocument::Parse(text, "profile");
  if (!json)
    return std::unexpected(std::move(json).error());
  return CompileSeccomp(json->root(), bounding);
}

uint32_t Native(const SeccompFilter& filter, Sys call, uint64_t argument = 0) {
  const AbiTable& abi = seccomp::kNativeAbis[0];
  return Answer(filter.code(), abi.audit_arch,
                SyscallNumber(abi.numbers[static_cast<size_t>(call)]), argument);
}

TEST(SeccompSpec, DenyListLetsTheRestThrough) {
  auto filter = FromText(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
      {"names":["getcwd","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":19},
      {"names":["chdir"],"action":"SCMP_ACT_KILL_PROCESS"},{"names":["sync"],"action":"SCMP_ACT_TRAP"},
      {"names":["fchdir"],"action":"SCMP_ACT_LOG"},{"names":["acct"],"action":"SCMP_ACT_TRACE","errnoRet":7},
      {"names":["dup"],"action":"SCMP_ACT_KILL"}]})");
  ASSERT_TRUE(filter) << filter.error().message();
  EXPECT_EQ(Native(*filter, Sys::k_getcwd), SECCOMP_RET_ERRNO | 19u);
  EXPECT_EQ(Native(*filter, Sys::k_chdir), static_cast<uint32_t>(SECCOMP_RET_KILL_PROCESS));
  EXPECT_EQ(Native(*filter, Sys::k_sync), static_cast<uint32_t>(SECCOMP_RET_TRAP));
  EXPECT_EQ(Native(*filter, Sys::k_fchdir), static_cast<uint32_t>(SECCOMP_RET_LOG));
  EXPECT_EQ(Native(*filter, Sys::k_acct), SECCOMP_RET_TRACE | 7u);
  EXPECT_EQ(Native(*filter, Sys::k_dup), static_cast<uint32_t>(SECCOMP_RET_KILL_THREAD));
  EXPECT_EQ(Native(*filter, Sys::k_read), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(Answer(filter->code(), seccomp::kNativeAbis[0].audit_arch, 3000, 0),
            static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(filter->flags(), static_cast<uint32_t>(SECCOMP_FILTER_FLAG_SPEC_ALLOW));
}

#if defined(__x86_64__)
TEST(SeccompSpec, TheX32AbiDoesNotGetAroundADenyList) {
  auto filter = FromText(R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
      {"names":["getcwd"],"action":"SCMP_ACT_ERRNO"}]})");
  ASSERT_TRUE(filter);
  EXPECT_EQ(Answer(filter->code(), AUDIT_ARCH_X86_64, 79, 0), kEperm);
  EXPECT_EQ(Answer(filter->code(), AUDIT_ARCH_X86_64, 0x40000000 | 79, 0), kEnosys);
}
#endif

TEST(SeccompSpec, OtherArchitecturesAreKilledUnlessNamed) {
  auto only = FromText(R"({"defaultAction":"SCMP_ACT_ALLOW"})");
  auto both = FromText(
      R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM","SCMP_ARCH_MIPS"]})");
  ASSERT_TRUE(only && both);
  if (seccomp::kNativeAbis.size() < 2)
    GTEST_SKIP() << "this machine has one ABI";
  uint32_t compat = seccomp::kNativeAbis[1].audit_arch;
  EXPECT_EQ(Answer(only->code(), compat, 1, 0), static_cast<uint32_t>(SECCOMP_RET_KILL_PROCESS));
  EXPECT_EQ(Answer(both->code(), compat, 1, 0), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
}

TEST(SeccompSpec, ConditionsOnOneArgumentAreAlternatives) {
  auto filter = FromText(
      R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["lseek"],"action":"SCMP_ACT_ALLOW",
      "args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"},{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}]})");
  ASSERT_TRUE(filter);
  EXPECT_EQ(Native(*filter, Sys::k_lseek, 3), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(Native(*filter, Sys::k_lseek, 5), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(Native(*filter, Sys::k_lseek, 4), kEperm);
}

TEST(SeccompSpec, HighBitsOfAnIntDoNotHideIt) {
  auto filter = FromText(
      R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["ioctl"],"action":"SCMP_ACT_ERRNO",
      "args":[{"index":1,"value":21522,"op":"SCMP_CMP_EQ"}]}]})");
  ASSERT_TRUE(filter);
  EXPECT_EQ(Native(*filter, Sys::k_ioctl, 21522), kEperm);
  EXPECT_EQ(Native(*filter, Sys::k_ioctl, 21522 | uint64_t{1} << 32), kEperm);
}

TEST(SeccompSpec, TooLargeIsAnError) {
  std::string text = R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[)";
  for (int i = 0; i < 2000; ++i) {
    Append(
        text, i == 0 ? "" : ",",
        R"({"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_EQ","value":)",
        i, "}]}");
  }
  auto filter = FromText(text + "]}");
  ASSERT_FALSE(filter);
  EXPECT_EQ(filter.error().code(), Errc::kUnsupported);
}

// Longer than a conditional jump reaches, so that trampolines are used.
TEST(SeccompSpec, LongProgramsAnswerRight) {
  std::string text = R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[)";
  for (int i = 0; i < 500; ++i) {
    Append(text, i == 0 ? "" : ",",
           R"({"names":["read","write"],"action":"SCMP_ACT_ERRNO","errnoRet":)", 100 + i % 7,
           R"(,"args":[{"index":1,"op":"SCMP_CMP_EQ","value":)", i * 3, "}]}");
  }
  auto filter = FromText(text + R"(,{"names":["close","fstat"],"action":"SCMP_ACT_ALLOW"}]})");
  ASSERT_TRUE(filter) << filter.error().message();
  for (int i = 0; i < 1600; ++i) {
    uint32_t expected = i % 3 == 0 && i < 1500
                            ? SECCOMP_RET_ERRNO | static_cast<uint32_t>(100 + i / 3 % 7)
                            : kEperm;
    ASSERT_EQ(Native(*filter, Sys::k_read, static_cast<uint64_t>(i)), expected) << i;
    ASSERT_EQ(Native(*filter, Sys::k_write, static_cast<uint64_t>(i)), expected) << i;
  }
  EXPECT_EQ(Native(*filter, Sys::k_close), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
}

TEST(SeccompSpec, ErrorsNameTheField) {
  struct Row {
    const char* text;
    const char* says;
  };
  const Row rows[] = {
      {R"([])", "seccomp must be an object"},
      {R"({})", "seccomp.defaultAction"},
      {R"({"defaultAction":"SCMP_ACT_FOO"})", "SCMP_ACT_FOO"},
      {R"({"defaultAction":"SCMP_ACT_NOTIFY"})", "SCMP_ACT_NOTIFY"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"})", "seccomp.listenerPath"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]})", "seccomp.flags"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["X"]})", "seccomp.architectures"},
      {R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":70000})", "seccomp.defaultErrnoRet"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1})", "takes no number"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_LOG"}]})",
       "syscalls[0].names"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"]}]})",
       "syscalls[0].action"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG",
          "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]})",
       "args.index"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG",
          "args":[{"index":1,"value":-1,"op":"SCMP_CMP_EQ"}]}]})",
       "args.value"},
      {R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG",
          "args":[{"index":1,"value":1,"op":"EQ"}]}]})",
       "args.op"},
  };
  for (const Row& row : rows) {
    auto filter = FromText(row.text);
    ASSERT_FALSE(filter) << row.text;
    EXPECT_NE(filter.error().message().find(row.says), std::string::npos)
        << filter.error().message();
  }
}

// What a filtered child saw, one bit per expectation that did not hold.
int FilteredChild(const SeccompFilter& filter) {
  int failed = 0;
  auto expect = [&failed, bit = 0](long result, int error, bool fits) mutable {
    (void)result;
    (void)error;
    if (!fits)
      failed |= 1 << bit;
    ++bit;
  };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return 0x80;
  if (!InstallSeccomp(filter.code(), filter.flags()))
    return 0x81;
  auto call = [](long number, long a = 0, long b = 0) {
    return syscall(number, a, b, 0, 0, 0, 0) < 0 ? errno : 0;
  };
  expect(0, 0, call(SYS_getppid) == 0);
  expect(0, 0, call(SYS_keyctl, 0) == EPERM && call(SYS_unshare, 0x20000) == EPERM);
  expect(0, 0, call(SYS_clone3) == ENOSYS && call(2000) == ENOSYS);
  expect(
      0, 0,
      call(SYS_socket, 38, SOCK_SEQPACKET) == EPERM && call(SYS_socket, 40, SOCK_STREAM) == EPERM);
  expect(0, 0, call(SYS_socket, AF_UNIX, SOCK_STREAM) == 0);
  expect(0, 0, call(SYS_personality, 0xffffffff) == 0 && call(SYS_personality, 0x40000) == EPERM);
  expect(0, 0,
         sizeof(long) == 4 ||
             call(SYS_socket, static_cast<long>(uint64_t{38} | uint64_t{1} << 32)) == EPERM);
  return failed;
}

TEST(SeccompInstall, TheKernelEnforcesIt) {
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0)
    _exit(FilteredChild(DefaultSeccomp(kDockerCapabilities)));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SeccompInstall, EmptyIsNoFilter) {
  EXPECT_TRUE(InstallSeccomp({}, 0));
}

}  // namespace
}  // namespace wherry::runtime
