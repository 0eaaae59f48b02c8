#include "core/runtime/device_filter.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/core/runtime/bpf_machine.h"

namespace wherry::runtime {
namespace {

using Rules = std::vector<oci::DeviceRule>;

oci::DeviceRule Rule(bool allow, char type, int major, int minor, std::string_view access) {
  oci::DeviceRule rule;
  rule.allow = allow;
  rule.type = type;
  if (major >= 0)
    rule.major = static_cast<uint32_t>(major);
  if (minor >= 0)
    rule.minor = static_cast<uint32_t>(minor);
  rule.read = access.find('r') != std::string_view::npos;
  rule.write = access.find('w') != std::string_view::npos;
  rule.mknod = access.find('m') != std::string_view::npos;
  return rule;
}

const uint32_t kRead = BPF_DEVCG_ACC_READ;
const uint32_t kWrite = BPF_DEVCG_ACC_WRITE;
const uint32_t kMknod = BPF_DEVCG_ACC_MKNOD;

bool Ask(const std::vector<bpf_insn>& code, char type, uint32_t major, uint32_t minor,
         uint32_t access) {
  if (code.empty())
    return true;
  bpf_cgroup_dev_ctx context{};
  context.access_type =
      access << 16 | static_cast<uint32_t>(type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  context.major = major;
  context.minor = minor;
  auto answer = DeviceMachine(code, context).Run();
  EXPECT_TRUE(answer.has_value());
  return answer.value_or(false);
}

// Docker's rules: everything denied, then what the engine allows.
TEST(DeviceFilter, DockerDefault) {
  Rules rules = {Rule(false, 'a', -1, -1, "rwm"), Rule(true, 'c', 1, 3, "rwm"),
                 Rule(false, 'c', 10, 229, "rwm"), Rule(true, 'b', 8, 1, "r")};
  auto code = CompileDeviceRules(rules);
  ASSERT_TRUE(code);
  EXPECT_TRUE(Ask(*code, 'c', 1, 3, kRead | kWrite));
  EXPECT_TRUE(Ask(*code, 'c', 1, 7, kRead | kWrite));
  EXPECT_TRUE(Ask(*code, 'c', 136, 4711, kRead | kWrite));
  EXPECT_TRUE(Ask(*code, 'c', 5, 2, kRead | kWrite));
  EXPECT_TRUE(Ask(*code, 'b', 7, 0, kMknod));
  EXPECT_TRUE(Ask(*code, 'b', 8, 1, kRead));
  EXPECT_FALSE(Ask(*code, 'b', 8, 1, kRead | kWrite));
  EXPECT_FALSE(Ask(*code, 'b', 8, 2, kRead));
  EXPECT_FALSE(Ask(*code, 'c', 10, 229, kRead));
  EXPECT_FALSE(Ask(*code, 'c', 1, 1, kRead));  // /dev/mem
  EXPECT_FALSE(Ask(*code, 'b', 1, 3, kRead));
}

TEST(DeviceFilter, NoRulesMeansTheDefaultsOnly) {
  auto code = CompileDeviceRules({});
  ASSERT_TRUE(code);
  EXPECT_TRUE(Ask(*code, 'c', 1, 3, kRead));
  EXPECT_FALSE(Ask(*code, 'c', 4, 1, kRead));
}

// The kernel takes its time for each jump, at each start of a container.
TEST(DeviceFilter, MinorsShareTheComparisonOfTheirMajor) {
  auto apart = CompileDeviceRules(Rules{
      Rule(true, 'c', 10, 1, "rwm"), Rule(true, 'c', 11, 2, "rwm"), Rule(true, 'c', 10, 3, "rwm")});
  auto together = CompileDeviceRules(Rules{
      Rule(true, 'c', 10, 1, "rwm"), Rule(true, 'c', 10, 3, "rwm"), Rule(true, 'c', 11, 2, "rwm")});
  ASSERT_TRUE(apart && together);
  EXPECT_LT(together->size(), apart->size());
  for (const auto& code : {*apart, *together}) {
    EXPECT_TRUE(Ask(code, 'c', 10, 1, kRead | kWrite));
    EXPECT_TRUE(Ask(code, 'c', 10, 3, kRead));
    EXPECT_TRUE(Ask(code, 'c', 11, 2, kWrite));
    EXPECT_FALSE(Ask(code, 'c', 10, 2, kRead));
    EXPECT_FALSE(Ask(code, 'c', 11, 1, kRead));
    EXPECT_FALSE(Ask(code, 'b', 10, 1, kRead));
  }
  auto defaults = CompileDeviceRules({});
  ASSERT_TRUE(defaults);
  EXPECT_LE(defaults->size(), 40u);
}

TEST(DeviceFilter, PrivilegedNeedsNoProgram) {
  Rules rules = {Rule(false, 'a', -1, -1, "rwm"), Rule(true, 'a', -1, -1, "rwm")};
  auto code = CompileDeviceRules(rules);
  ASSERT_TRUE(code);
  EXPECT_TRUE(code->empty());
}

TEST(DeviceFilter, KindsOfAccessAreDecidedOneByOne) {
  Rules rules = {Rule(true, 'c', 10, 1, "rwm"), Rule(false, 'c', 10, 1, "w"),
                 Rule(true, 'c', 11, 1, "r"), Rule(true, 'c', 11, 1, "w")};
  auto code = CompileDeviceRules(rules);
  ASSERT_TRUE(code);
  EXPECT_TRUE(Ask(*code, 'c', 10, 1, kRead));
  EXPECT_FALSE(Ask(*code, 'c', 10, 1, kRead | kWrite));
  EXPECT_TRUE(Ask(*code, 'c', 11, 1, kRead | kWrite));
}

TEST(DeviceFilter, BadRulesAreErrors) {
  Rules type = {Rule(true, 'x', 1, 1, "r")};
  EXPECT_FALSE(CompileDeviceRules(type));
  Rules number = {Rule(true, 'c', 5000, 1, "r")};
  EXPECT_FALSE(CompileDeviceRules(number));
  Rules many(2000, Rule(true, 'c', 10, 1, "r"));
  auto result = CompileDeviceRules(many);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Errc::kUnsupported);
}

// The last rule that covers a kind of access decides it: against random lists.
TEST(DeviceFilter, AgreesWithDirectEvaluation) {
  std::mt19937 random(7);
  auto pick = [&random](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  for (int round = 0; round < 300; ++round) {
    Rules rules;
    for (int i = pick(12); i > 0; --i) {
      const char* accesses[] = {"r", "w", "m", "rw", "rwm", "wm", ""};
      rules.push_back(
          Rule(pick(2) == 0, "abccu"[pick(5)], pick(4) - 1, pick(4) - 1, accesses[pick(7)]));
    }
    auto code = CompileDeviceRules(rules);
    ASSERT_TRUE(code);
    Rules all = rules;
    all.insert(all.end(), DefaultDeviceRules().begin(), DefaultDeviceRules().end());
    for (int query = 0; query < 200; ++query) {
      char type = pick(2) == 0 ? 'b' : 'c';
      auto major = static_cast<uint32_t>(pick(7));
      auto minor = static_cast<uint32_t>(pick(7));
      auto access = static_cast<uint32_t>(1 + pick(7));
      bool expected = true;
      for (uint32_t bit : {kMknod, kRead, kWrite}) {
        if ((access & bit) == 0)
          continue;
        bool allowed = false;
        for (const oci::DeviceRule& rule : all) {
          bool covers = rule.type == 'a' || ((rule.type == 'b') == (type == 'b') &&
                                             rule.major.value_or(major) == major &&
                                             rule.minor.value_or(minor) == minor &&
                                             (bit == kMknod  ? rule.mknod
                                              : bit == kRead ? rule.read
                                                             : rule.write));
          if (covers)
            allowed = rule.allow;
        }
        expected = expected && allowed;
      }
      ASSERT_EQ(Ask(*code, type, major, minor, access), expected)
          << type << major << ":" << minor << " " << access;
    }
  }
}

}  // namespace
}  // namespace wherry::runtime
