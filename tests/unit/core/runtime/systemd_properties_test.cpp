#include "core/runtime/systemd_properties.h"

#include <gtest/gtest.h>

namespace wherry::runtime {
namespace {

using Texts = std::vector<std::string>;
using namespace std::string_literals;

UnitProperty Number(std::string name, uint64_t value) {
  return {std::move(name), "t", value, {}};
}

TEST(ScopeName, IsThatOfTheCallers) {
  struct Case {
    const char* path;
    const char* unit;
    const char* slice;
  };
  for (const Case& row :
       {Case{"machine.slice:libpod:0123", "libpod-0123.scope", "machine.slice"},
        Case{":cri:x", "cri-x.scope", ""}, Case{"a.slice::x", "-x.scope", "a.slice"},
        Case{"", "wherry-box.scope", ""}}) {
    Result<ScopeName> name = ParseScopeName(row.path, "box");
    ASSERT_TRUE(name) << row.path;
    EXPECT_EQ(name->unit, row.unit);
    EXPECT_EQ(name->slice, row.slice);
  }
  for (const char* path : {"/a/b", "a", "a:b", "a:b:c:d", "a:b:c.slice"}) {
    Result<ScopeName> name = ParseScopeName(path, "box");
    ASSERT_FALSE(name) << path;
    EXPECT_NE(name.error().message().find(path), std::string::npos);
  }
}

std::vector<UnitProperty> Properties(const std::vector<CgroupWrite>& writes) {
  Result<std::vector<UnitProperty>> list = LimitProperties(writes);
  EXPECT_TRUE(list) << list.error().message();
  return list ? *list : std::vector<UnitProperty>();
}

TEST(LimitProperties, ArePropertiesOfTheSameValues) {
  const std::vector<UnitProperty> wanted = {
      Number("MemoryMax", 32 << 20),
      Number("MemorySwapMax", UINT64_MAX),
      Number("CPUWeight", 39),
      Number("CPUQuotaPerSecUSec", 500000),
      Number("CPUQuotaPeriodUSec", 20000),
      {"AllowedCPUs", "ay", 0, {"\x27\0\1"s}},
      Number("TasksMax", 7),
      Number("IOWeight", 4950),
      Number("MemoryHigh", 30 << 20),
  };
  EXPECT_EQ(Properties({{"memory.max", "33554432"},
                        {"memory.swap.max", "max"},
                        {"cpu.weight", "39"},
                        {"cpu.max", "10000 20000"},
                        {"cpuset.cpus", "0-2,5,16"},
                        {"pids.max", "7"},
                        {"io.weight", "default 4950"},
                        {"io.weight", "8:0 100"},
                        {"io.max", "8:0 rbps=1"},
                        {"hugetlb.2MB.max", "0"},
                        {"memory.high", "30M"}}),
            wanted);
}

TEST(LimitProperties, TheLastValueOfOneCounts) {
  EXPECT_EQ(Properties({{"memory.max", "1"}, {"memory.max", "max"}}),
            std::vector{Number("MemoryMax", UINT64_MAX)});
  EXPECT_EQ(Properties({{"cpu.weight", "9"}, {"cpu.idle", "1"}}),
            std::vector{Number("CPUWeight", 0)});
  EXPECT_EQ(Properties({{"cpu.idle", "0"}}), std::vector<UnitProperty>());
}

TEST(LimitProperties, WhatSystemdDoesNotTakeBecomesWhatItTakes) {
  EXPECT_EQ(Properties({{"pids.max", "0"}}), std::vector{Number("TasksMax", 1)});
  EXPECT_EQ(Properties({{"io.bfq.weight", "default 500"}}), std::vector{Number("IOWeight", 4500)});
  EXPECT_EQ(Properties({{"io.bfq.weight", "10"}}), std::vector{Number("IOWeight", 10)});
  // To a hundredth of a CPU, and never less than was asked for.
  EXPECT_EQ(
      Properties({{"cpu.max", "12345 100000"}}),
      (std::vector{Number("CPUQuotaPerSecUSec", 130000), Number("CPUQuotaPeriodUSec", 100000)}));
  EXPECT_EQ(Properties({{"cpu.max", "max"}}), (std::vector{Number("CPUQuotaPerSecUSec", UINT64_MAX),
                                                           Number("CPUQuotaPeriodUSec", 100000)}));
}

TEST(LimitProperties, NonsenseIsNamed) {
  for (const CgroupWrite& write :
       {CgroupWrite{"memory.max", "much"}, CgroupWrite{"cpu.max", "1 0"},
        CgroupWrite{"cpu.max", "18446744073709551 1"}, CgroupWrite{"cpuset.cpus", "3-1"},
        CgroupWrite{"cpuset.mems", "99999999"}, CgroupWrite{"io.weight", "default x"}}) {
    Result<std::vector<UnitProperty>> list = LimitProperties(std::vector{write});
    ASSERT_FALSE(list) << write.value;
    EXPECT_NE(list.error().message().find(write.file), std::string::npos);
  }
}

TEST(AnnotatedProperties, AreGVariantText) {
  Result<std::vector<UnitProperty>> list = AnnotatedProperties({
      {"other", "ignored"},
      {"org.systemd.property.A", "true"},
      {"org.systemd.property.B", " 'it\\'s' "},
      {"org.systemd.property.C", R"(["a b", 'c'])"},
      {"org.systemd.property.D", "[]"},
      {"org.systemd.property.E", "-5"},
      {"org.systemd.property.F", "uint64 18446744073709551615"},
      {"org.systemd.property.G", "int64 -9"},
      {"org.systemd.property.TimeoutStopSec", "7"},
      {"org.systemd.property.TimeoutStopUSec", "uint64 8"},
  });
  ASSERT_TRUE(list) << list.error().message();
  const std::vector<UnitProperty> wanted = {
      {"A", "b", 1, {}},
      {"B", "s", 0, {"it's"}},
      {"C", "as", 0, {"a b", "c"}},
      {"D", "as", 0, {}},
      {"E", "i", static_cast<uint64_t>(-5), {}},
      Number("F", UINT64_MAX),
      {"G", "x", static_cast<uint64_t>(-9), {}},
      Number("TimeoutStopUSec", 7000000),
      Number("TimeoutStopUSec", 8),
  };
  EXPECT_EQ(*list, wanted);
}

TEST(AnnotatedProperties, NonsenseIsNamed) {
  for (const char* value : {"", "covfefe", "'open", "[1]", "['a'", "['a' 'b']", "'a' b",
                            "uint16 65536", "byte -1", "double 1.5", "3000000000", "uint64 "}) {
    Result<std::vector<UnitProperty>> list =
        AnnotatedProperties({{"org.systemd.property.X", value}});
    ASSERT_FALSE(list) << value;
    EXPECT_NE(list.error().message().find("org.systemd.property.X"), std::string::npos);
  }
  for (const char* key :
       {"org.systemd.property.", "org.systemd.property.A b", "org.systemd.property.N1"})
    EXPECT_FALSE(AnnotatedProperties({{key, "1"}})) << key;
  EXPECT_FALSE(AnnotatedProperties({{"org.systemd.property.ASec", "-1"}}));
  EXPECT_FALSE(AnnotatedProperties({{"org.systemd.property.ASec", "uint64 18446744073709551615"}}));
}

}  // namespace
}  // namespace wherry::runtime
