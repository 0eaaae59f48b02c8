// Reads linux.seccomp of runtime-spec and Docker's profile format (the same with includes, excludes
// and archMap) into the compiler's rules. Requirements (capabilities, machine, kernel) are decided
// while reading.
#include <linux/seccomp.h>
#include <sys/utsname.h>

#include <deque>
#include <memory>
#include <string_view>

#include "core/base/text.h"
#include "core/runtime/seccomp.h"
#include "core/runtime/seccomp_native.h"

namespace wherry::runtime {

namespace {

using seccomp::AbiTable;
using seccomp::Compare;
using seccomp::Condition;
using seccomp::Rule;

struct ActionRow {
  std::string_view name;
  uint32_t action;
};
constexpr ActionRow kActions[] = {
    {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
    {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO},
    {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
    {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
    {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE},
    {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
};

struct CompareRow {
  std::string_view name;
  Compare compare;
};
constexpr CompareRow kCompares[] = {
    {"SCMP_CMP_NE", Compare::kNotEqual},           {"SCMP_CMP_LT", Compare::kLess},
    {"SCMP_CMP_LE", Compare::kLessOrEqual},        {"SCMP_CMP_EQ", Compare::kEqual},
    {"SCMP_CMP_GE", Compare::kGreaterOrEqual},     {"SCMP_CMP_GT", Compare::kGreater},
    {"SCMP_CMP_MASKED_EQ", Compare::kMaskedEqual},
};

// Architectures of runtime-spec; 0 for those that no supported machine can execute, which need no
// filter.
struct ArchitectureRow {
  std::string_view name;
  uint32_t audit_arch;
};
constexpr ArchitectureRow kArchitectures[] = {
    {"SCMP_ARCH_X86_64", AUDIT_ARCH_X86_64},
    {"SCMP_ARCH_X86", AUDIT_ARCH_I386},
    {"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", AUDIT_ARCH_ARM},
    {"SCMP_ARCH_X32", 0},
    {"SCMP_ARCH_MIPS", 0},
    {"SCMP_ARCH_MIPS64", 0},
    {"SCMP_ARCH_MIPS64N32", 0},
    {"SCMP_ARCH_MIPSEL", 0},
    {"SCMP_ARCH_MIPSEL64", 0},
    {"SCMP_ARCH_MIPSEL64N32", 0},
    {"SCMP_ARCH_PPC", 0},
    {"SCMP_ARCH_PPC64", 0},
    {"SCMP_ARCH_PPC64LE", 0},
    {"SCMP_ARCH_S390", 0},
    {"SCMP_ARCH_S390X", 0},
    {"SCMP_ARCH_PARISC", 0},
    {"SCMP_ARCH_PARISC64", 0},
    {"SCMP_ARCH_RISCV64", 0},
    {"SCMP_ARCH_LOONGARCH64", 0},
    {"SCMP_ARCH_M68K", 0},
    {"SCMP_ARCH_SH", 0},
    {"SCMP_ARCH_SHEB", 0},
};

constexpr uint32_t kWaitKillable = 1 << 5;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19

struct FlagRow {
  std::string_view name;
  uint32_t flag;
};
// A container's init has one thread when its filter is loaded: TSYNC means nothing.
constexpr FlagRow kFlags[] = {
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", kWaitKillable},
};

// The row called `name`, or null.
template <class Row, size_t N>
const Row* Find(const Row (&table)[N], std::string_view name) {
  for (const Row& row : table) {
    if (row.name == name)
      return &row;
  }
  return nullptr;
}

constexpr std::string_view kHostName = seccomp::kNativeHost == seccomp::Host::kAmd64   ? "amd64"
                                       : seccomp::kNativeHost == seccomp::Host::kArm64 ? "arm64"
                                                                                       : "arm";

// "6.12.3-rpi" -> 6 << 8 | 12; 0 for anything else.
uint32_t KernelNumber(std::string_view text) {
  auto pair = SplitFirst(text, '.');
  if (!pair)
    return 0;
  auto major = ParseUint(pair->head);
  auto minor = ParseUint(pair->tail.substr(0, pair->tail.find_first_not_of("0123456789")));
  if (!major || !minor || *major > 0xffff || *minor > 0xff)
    return 0;
  return static_cast<uint32_t>(*major << 8 | *minor);
}

uint32_t RunningKernel() {
  utsname name{};
  return uname(&name) == 0 ? KernelNumber(name.release) : seccomp::kOldestKernel;
}

class ProfileReader {
 public:
  ProfileReader(CapabilitySet bounding, Notify notify) : bounding_(bounding), notify_(notify) {}

  Result<SeccompFilter> Read(JsonValue json);

 private:
  Result<uint32_t> ReadAction(JsonValue object, std::string_view key,
                              std::string_view errno_key) const;
  Result<> ReadArchitectures(JsonValue json);
  Result<> EnableArchitecture(JsonValue name);
  Result<uint32_t> ReadFlags(JsonValue flags) const;
  Result<> ReadRule(JsonValue json);
  Result<bool> Holds(JsonValue requirement, bool all) const;
  Result<> ReadConditions(JsonValue args, std::vector<Condition>& out) const;
  Result<Condition> ReadCondition(JsonValue json) const;
  void AddRule(std::span<const Sys> calls, uint32_t action, std::span<const Condition> conditions);
  std::string Where(std::string_view field) const;

  CapabilitySet bounding_;
  Notify notify_;
  bool has_listener_ = false;
  size_t rule_number_ = 0;  // of the rule being read, for messages
  bool in_rule_ = false;
  std::vector<Rule> rules_;
  std::deque<std::vector<Sys>> calls_;  // what rules_ points into
  std::deque<std::vector<Condition>> conditions_;
  std::vector<AbiTable> abis_ = {seccomp::kNativeAbis[0]};
};

// "seccomp.syscalls[3].action"
std::string ProfileReader::Where(std::string_view field) const {
  return in_rule_ ? Cat("seccomp.syscalls[", rule_number_, "].", field) : Cat("seccomp.", field);
}

Result<uint32_t> ProfileReader::ReadAction(JsonValue object, std::string_view key,
                                           std::string_view errno_key) const {
  JsonValue name = object[key];
  if (!name.IsString())
    return Fail(Errc::kInvalid, Cat(Where(key), " must be the name of an action"));
  const ActionRow* row = Find(kActions, name.str());
  if (row == nullptr)
    return Fail(Errc::kInvalid, Cat(Where(key), ": unknown action \"", name.str(), "\""));
  if (row->action == SECCOMP_RET_USER_NOTIF && notify_ == Notify::kRefused)
    return Fail(Errc::kUnsupported, Cat(Where(key), ": SCMP_ACT_NOTIFY is not supported here"));
  if (row->action == SECCOMP_RET_USER_NOTIF && !has_listener_)
    return Fail(Errc::kInvalid, Cat(Where(key), ": SCMP_ACT_NOTIFY needs seccomp.listenerPath"));
  bool has_data = row->action == SECCOMP_RET_ERRNO || row->action == SECCOMP_RET_TRACE;
  JsonValue number = object[errno_key];
  if (!number || number.IsNull())
    return row->action | (has_data ? EPERM : 0U);
  if (!number.IsNumber() || number.integer(-1) < 0 || number.integer() > 4095) {
    return Fail(Errc::kInvalid, Cat(Where(errno_key), " must be a number from 0 to 4095"));
  }
  if (!has_data)
    return Fail(Errc::kInvalid, Cat(Where(errno_key), ": ", row->name, " takes no number"));
  return row->action | static_cast<uint32_t>(number.integer());
}

Result<> ProfileReader::EnableArchitecture(JsonValue name) {
  const ArchitectureRow* row = Find(kArchitectures, name.str());
  if (row == nullptr) {
    return Fail(Errc::kInvalid,
                Cat("seccomp.architectures: unknown architecture \"", name.str(), "\""));
  }
  for (const AbiTable& abi : seccomp::kNativeAbis.subspan(1)) {
    if (abi.audit_arch == row->audit_arch && abis_.size() == 1)
      abis_.push_back(abi);
  }
  return {};
}

// The machine's own ABI is always filtered by the rules; the 32-bit one only when it is named. What
// is not named is killed.
Result<> ProfileReader::ReadArchitectures(JsonValue json) {
  if (json["architectures"].size() > 0 && json["archMap"].size() > 0) {
    return Fail(Errc::kInvalid, "seccomp: architectures and archMap exclude each other");
  }
  for (JsonValue name : json["architectures"])
    TRY(EnableArchitecture(name));
  for (JsonValue row : json["archMap"]) {
    const ArchitectureRow* main = Find(kArchitectures, row["architecture"].str());
    if (main == nullptr || main->audit_arch != seccomp::kNativeAbis[0].audit_arch)
      continue;
    for (JsonValue name : row["subArchitectures"])
      TRY(EnableArchitecture(name));
  }
  return {};
}

Result<uint32_t> ProfileReader::ReadFlags(JsonValue flags) const {
  // Without the member: no slow-down by the mitigation of speculative store bypass, as with runc
  // and crun.
  if (!flags || flags.IsNull())
    return SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  uint32_t result = 0;
  for (JsonValue name : flags) {
    const FlagRow* row = Find(kFlags, name.str());
    if (row == nullptr)
      return Fail(Errc::kInvalid, Cat("seccomp.flags: unknown flag \"", name.str(), "\""));
    result |= row->flag;
  }
  // The kernel takes it with a listener only.
  return has_listener_ ? result : result & ~kWaitKillable;
}

// Docker's "includes" (all = true: every listed thing must be so) and "excludes" (whether any
// listed thing is so).
Result<bool> ProfileReader::Holds(JsonValue requirement, bool all) const {
  for (JsonValue name : requirement["caps"]) {
    auto number = CapabilityNumber(name.str());
    bool held = number && (bounding_ & CapabilityBit(*number)) != 0;
    if (held != all)
      return !all;
  }
  if (JsonValue arches = requirement["arches"]; arches.size() > 0) {
    bool listed = false;
    for (JsonValue name : arches)
      listed = listed || name.str() == kHostName;
    if (listed != all)
      return !all;
  }
  if (JsonValue kernel = requirement["minKernel"]; kernel && !kernel.IsNull()) {
    uint32_t wanted = KernelNumber(kernel.str());
    if (wanted == 0)
      return Fail(Errc::kInvalid, Cat(Where("minKernel"), " must look like \"4.8\""));
    if ((RunningKernel() >= wanted) != all)
      return !all;
  }
  return all;
}

Result<Condition> ProfileReader::ReadCondition(JsonValue json) const {
  // The reader of JSON holds numbers exactly up to here.
  constexpr int64_t kExact = int64_t{1} << 53;
  Condition condition;
  int64_t index = json["index"].integer(-1);
  if (index < 0 || index > 5)
    return Fail(Errc::kInvalid, Cat(Where("args.index"), " must be a number from 0 to 5"));
  condition.index = static_cast<uint8_t>(index);
  const CompareRow* row = Find(kCompares, json["op"].str());
  if (row == nullptr)
    return Fail(Errc::kInvalid,
                Cat(Where("args.op"), ": unknown operator \"", json["op"].str(), "\""));
  condition.compare = row->compare;
  int64_t value = json["value"].integer(-1);
  int64_t datum = json["valueTwo"].integer(0);
  if (value < 0 || datum < 0 || value > kExact || datum > kExact) {
    return Fail(Errc::kInvalid,
                Cat(Where("args.value"), " must be a number from 0 to 9007199254740992"));
  }
  condition.value = static_cast<uint64_t>(value);
  condition.datum = static_cast<uint64_t>(datum);
  return condition;
}

Result<> ProfileReader::ReadConditions(JsonValue args, std::vector<Condition>& out) const {
  for (JsonValue arg : args) {
    Condition condition = TRY(ReadCondition(arg));
    out.push_back(condition);
  }
  return {};
}

void ProfileReader::AddRule(std::span<const Sys> calls, uint32_t action,
                            std::span<const Condition> conditions) {
  rules_.push_back({.calls = calls, .action = action, .conditions = conditions});
}

Result<> ProfileReader::ReadRule(JsonValue json) {
  uint32_t action = TRY(ReadAction(json, "action", "errnoRet"));
  std::vector<Condition> conditions;
  TRY(ReadConditions(json["args"], conditions));
  std::vector<std::string> names = json["names"].strings();
  if (json["name"].IsString())
    names.emplace_back(json["name"].str());
  if (names.empty())
    return Fail(Errc::kInvalid, Cat(Where("names"), " must name at least one system call"));

  JsonValue includes = json["includes"];
  JsonValue excludes = json["excludes"];
  if (includes && !TRY(Holds(includes, true)))
    return {};
  if (excludes && TRY(Holds(excludes, false)))
    return {};

  std::vector<Sys>& calls = calls_.emplace_back();
  for (const std::string& name : names) {
    if (Sys call = FindSyscall(name); call != Sys::kCount)
      calls.push_back(call);
  }
  std::vector<Condition>& kept = conditions_.emplace_back(std::move(conditions));
  // Two conditions on one argument make every condition of the rule a rule of its own: what runc
  // does.
  uint8_t seen = 0;
  bool repeated = false;
  for (const Condition& condition : kept) {
    repeated = repeated || (seen >> condition.index & 1) != 0;
    seen = static_cast<uint8_t>(seen | 1 << condition.index);
  }
  if (!repeated) {
    AddRule(calls, action, kept);
    return {};
  }
  for (size_t i = 0; i < kept.size(); ++i)
    AddRule(calls, action, std::span(kept).subspan(i, 1));
  return {};
}

Result<SeccompFilter> ProfileReader::Read(JsonValue json) {
  constexpr size_t kMaxRules = 0xffff;
  if (!json.IsObject())
    return Fail(Errc::kInvalid, "seccomp must be an object");
  has_listener_ = !json["listenerPath"].str().empty();
  if (has_listener_ && notify_ == Notify::kRefused)
    return Fail(Errc::kUnsupported, "seccomp.listenerPath is not supported here");
  uint32_t default_action = TRY(ReadAction(json, "defaultAction", "defaultErrnoRet"));
  TRY(ReadArchitectures(json));
  uint32_t flags = TRY(ReadFlags(json["flags"]));
  in_rule_ = true;
  for (JsonValue rule : json["syscalls"]) {
    TRY(ReadRule(rule));
    if (rules_.size() > kMaxRules)
      return Fail(Errc::kUnsupported, "seccomp.syscalls has more than 65535 rules");
    ++rule_number_;
  }
  auto out = std::make_unique<seccomp::Assembler>();
  // Requirements have been decided: whatever is left applies.
  seccomp::Compile(*out, {default_action, rules_}, abis_, seccomp::kNativeHost, ~CapabilitySet{0},
                   ~0U);
  if (out->overflow()) {
    return Fail(Errc::kUnsupported,
                "seccomp: the profile needs more than the 4096 instructions that the kernel takes; "
                "use fewer argument checks");
  }
  SeccompFilter filter(seccomp::TakeCode(*out));
  filter.set_flags(flags);
  return filter;
}

}  // namespace

Result<SeccompFilter> CompileSeccomp(JsonValue seccomp, CapabilitySet bounding, Notify notify) {
  return ProfileReader(bounding, notify).Read(seccomp);
}

}  // namespace wherry::runtime
