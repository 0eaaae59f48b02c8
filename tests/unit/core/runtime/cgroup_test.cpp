#include "core/runtime/cgroup.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/cgroup_limits.h"

namespace wherry::runtime {
namespace {

TEST(CgroupConversion, CpuWeightIsThatOfRunc) {
  EXPECT_EQ(CpuWeightFromShares(0), 0u);
  EXPECT_EQ(CpuWeightFromShares(1), 1u);
  EXPECT_EQ(CpuWeightFromShares(2), 1u);
  EXPECT_EQ(CpuWeightFromShares(1024), 100u);
  EXPECT_EQ(CpuWeightFromShares(262144), 10000u);
  EXPECT_EQ(CpuWeightFromShares(UINT64_MAX), 10000u);
  for (uint64_t shares = 3; shares < 262144; ++shares) {
    double l = std::log2(static_cast<double>(shares));
    double expected = std::ceil(std::pow(10.0, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
    ASSERT_EQ(CpuWeightFromShares(shares), static_cast<uint64_t>(expected)) << shares;
  }
}

TEST(CgroupConversion, IoWeight) {
  EXPECT_EQ(IoWeightFromBlkio(10), 1u);
  EXPECT_EQ(IoWeightFromBlkio(500), 4950u);
  EXPECT_EQ(IoWeightFromBlkio(1000), 10000u);
}

std::string Writes(const oci::LinuxResources& resources,
                   IoWeightFile io_weight = IoWeightFile::kCost) {
  auto writes = LimitWrites(resources, io_weight);
  if (!writes)
    return writes.error().message();
  std::string text;
  for (const CgroupWrite& write : *writes) {
    Append(text, write.file, write.if_missing == IfMissing::kIgnore ? "?=" : "=", write.value, ";");
  }
  return text;
}

TEST(CgroupLimits, Memory) {
  oci::LinuxResources resources;
  resources.memory.limit = 32 << 20;
  EXPECT_EQ(Writes(resources), "memory.max=33554432;");
  resources.memory.swap = 64 << 20;
  EXPECT_EQ(Writes(resources), "memory.swap.max=33554432;memory.max=33554432;");
  resources.memory.swap = 32 << 20;
  EXPECT_EQ(Writes(resources), "memory.swap.max?=0;memory.max=33554432;");
  resources.memory.swap = -1;
  EXPECT_EQ(Writes(resources), "memory.swap.max?=max;memory.max=33554432;");
  resources.memory.swap = 1;
  EXPECT_NE(Writes(resources).find("cannot be below"), std::string::npos);
  resources.memory = {.limit = -1, .reservation = 1000, .swap = {}};
  EXPECT_EQ(Writes(resources), "memory.swap.max?=max;memory.max=max;memory.low=1000;");
  resources.memory = {.limit = {}, .reservation = {}, .swap = 5};
  EXPECT_NE(Writes(resources).find("needs a memory limit"), std::string::npos);
}

TEST(CgroupLimits, CpuAndPids) {
  oci::LinuxResources resources;
  resources.cpu.shares = 512;
  resources.cpu.quota = 150000;
  resources.cpu.cpus = "0-1,3";
  resources.cpu.mems = "0";
  resources.pids_limit = 0;
  EXPECT_EQ(Writes(resources),
            "cpu.weight=59;cpu.max=150000 100000;cpuset.cpus=0-1,3;cpuset.mems=0;pids.max=0;");
  resources = {};
  resources.cpu.quota = -1;
  resources.cpu.period = 50000;
  resources.cpu.burst = 10;
  resources.cpu.idle = 1;
  resources.pids_limit = -1;
  EXPECT_EQ(Writes(resources),
            "cpu.idle=1;cpu.max.burst=0;cpu.max=max 50000;cpu.max.burst=10;pids.max=max;");
  resources.cpu.cpus = "0; rm";
  EXPECT_NE(Writes(resources).find("cpuset.cpus"), std::string::npos);
}

TEST(CgroupLimits, IoHugepagesUnified) {
  oci::LinuxResources resources;
  resources.block_io.weight = 500;
  resources.block_io.device_weights = {{8, 16, 1000}};
  resources.block_io.read_bps = {{8, 0, 1048576}};
  resources.block_io.write_iops = {{8, 0, 0}};
  EXPECT_EQ(
      Writes(resources),
      "io.weight=default 4950;io.weight=8:16 10000;io.max=8:0 rbps=1048576;io.max=8:0 wiops=max;");
  EXPECT_TRUE(Writes(resources, IoWeightFile::kBfq)
                  .starts_with("io.bfq.weight=default 500;io.bfq.weight=8:16 1000;"));
  resources.block_io = {};
  resources.block_io.weight = 5;
  EXPECT_NE(Writes(resources).find("blockIO.weight"), std::string::npos);
  resources = {};
  resources.hugepage_limits = {{"2MB", 4194304}};
  resources.unified = {{"memory.high", "1000"}, {"io.max", "8:0 rbps=1\n8:16 rbps=2"}};
  EXPECT_EQ(Writes(resources),
            "hugetlb.2MB.max=4194304;hugetlb.2MB.rsvd.max?=4194304;io.max=8:0 rbps=1;io.max=8:16 "
            "rbps=2;memory.high=1000;");
  resources.unified = {{"../memory.high", "1"}};
  EXPECT_NE(Writes(resources).find("unified"), std::string::npos);
  resources = {};
  resources.hugepage_limits = {{"2MB/..", 1}};
  EXPECT_NE(Writes(resources).find("pageSize"), std::string::npos);
}

TEST(CgroupLimits, WhatUndoesAWrite) {
  struct Case {
    CgroupWrite write;
    std::string_view content;
    std::string_view former;
  };
  const Case cases[] = {
      {{"memory.max", "1"}, "max\n", "max\n"},
      {{"cpu.max", "5000 10000"}, "max 100000\n", "max 100000\n"},
      {{"cpuset.cpus", "0"}, "\n", "\n"},
      {{"io.max", "8:1 rbps=1"}, "8:16 rbps=2\n8:1 rbps=max wbps=7\n", "8:1 rbps=max wbps=7"},
      {{"io.max", "8:1 rbps=1"}, "8:16 rbps=2\n", "8:1 rbps=max wbps=max riops=max wiops=max"},
      {{"io.weight", "default 10"}, "default 100\n8:16 50\n", "default 100"},
      {{"io.weight", "8:1 10"}, "default 100\n8:16 50\n", "8:1 default"},
      {{"rdma.max", "mlx4_0 hca_handle=1"}, "", "mlx4_0 hca_handle=max hca_object=max"},
  };
  for (const Case& row : cases)
    EXPECT_EQ(FormerValue(row.write, row.content), row.former) << row.write.value;
}

// Runs `body` in a child with a mount namespace whose /sys/fs/cgroup is cgroup2; its value becomes
// the exit status. The groups it makes are the machine's, under a name of their own.
int InPrivateNamespace(int (*body)()) {
  pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", "/sys/fs/cgroup", "cgroup2", 0, nullptr) != 0) {
      _exit(77);
    }
    _exit(body());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
    return -1;
  return WEXITSTATUS(status);
}

#define CHECK_OR_EXIT(...)                                 \
  do {                                                     \
    if (!(__VA_ARGS__)) {                                  \
      fprintf(stderr, "%d: %s\n", __LINE__, #__VA_ARGS__); \
      return 1;                                            \
    }                                                      \
  } while (false)

std::string TestParent() {
  return Cat("/wherry-test-", getpid());
}

pid_t SleepingChild(Cgroup& group) {
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  if (!group.AddProcess(child))
    return -1;
  return child;
}

int LifeOfACgroup() {
  auto host = sys::FindCgroupHost();
  CHECK_OR_EXIT(host && host->mode == sys::CgroupMode::kUnified);
  std::string parent = TestParent();
  std::string path = parent + "/c/one";
  auto group = Cgroup::Create(*host, path);
  CHECK_OR_EXIT(group);
  pid_t child = SleepingChild(*group);
  CHECK_OR_EXIT(child > 0);
  CHECK_OR_EXIT(*sys::CgroupOf(child) == path);

  CHECK_OR_EXIT(!Cgroup::Create(*host, path));  // in use
  CHECK_OR_EXIT(group->Freeze());
  CHECK_OR_EXIT(*sys::ReadCgroupKey(group->fd(), "cgroup.events", "frozen") == 1);
  CHECK_OR_EXIT(group->Thaw());
  CHECK_OR_EXIT(*sys::ReadCgroupKey(group->fd(), "cgroup.events", "frozen") == 0);
  CHECK_OR_EXIT(sys::CgroupPids(group->fd())->size() == 1);

  auto leaf = MakeLeafCgroup(*host, path + "/inner/deep");
  CHECK_OR_EXIT(leaf);
  CHECK_OR_EXIT(group->Kill());
  int status = 0;
  CHECK_OR_EXIT(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
                WTERMSIG(status) == SIGKILL);
  CHECK_OR_EXIT(sys::WaitUnpopulated(group->fd(), std::chrono::seconds(2)));
  CHECK_OR_EXIT(group->Stats().cpu_usage_us.has_value());

  // An empty left-over is taken over.
  auto again = Cgroup::Create(*host, path);
  CHECK_OR_EXIT(again);
  pid_t second = SleepingChild(*again);
  CHECK_OR_EXIT(second > 0);
  CHECK_OR_EXIT(again->Remove());
  CHECK_OR_EXIT(!PathExists(host->mount + path));
  CHECK_OR_EXIT(waitpid(second, &status, 0) == second);
  CHECK_OR_EXIT(sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(2)));
  CHECK_OR_EXIT(sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(0)));
  return 0;
}

int DeviceRulesHold() {
  auto host = sys::FindCgroupHost();
  std::string parent = TestParent();
  auto group = Cgroup::Create(*host, parent + "/devices");
  CHECK_OR_EXIT(group);
  oci::LinuxResources resources;
  oci::DeviceRule deny;
  oci::DeviceRule zero_read{.allow = true,
                            .type = 'c',
                            .major = 10,
                            .minor = 229,
                            .read = true,
                            .write = false,
                            .mknod = false};
  resources.devices = {deny, zero_read};
  auto set = group->SetDevices(resources);
  if (!set && set.error().code() == Errc::kDenied) {
    (void)sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(1));
    return 77;
  }
  CHECK_OR_EXIT(set);
  CHECK_OR_EXIT(group->SetDevices(resources));  // replaces
  pid_t child = fork();
  if (child == 0) {
    if (!group->AddProcess(0))
      _exit(1);
    bool good =
        Open("/dev/null", O_RDWR) && Open("/dev/zero", O_RDWR) && Open("/dev/full", O_RDONLY);
    auto kmsg = Open("/dev/kmsg", O_RDONLY);
    _exit(good && !kmsg && kmsg.error().error_number() == EPERM ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  auto removed = group->Remove();
  (void)sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(1));
  CHECK_OR_EXIT(removed);
  CHECK_OR_EXIT(status == 0);
  return 0;
}

// Either the limit is set, or one sentence says why not.
int MissingControllersAreExplained() {
  auto host = sys::FindCgroupHost();
  std::string parent = TestParent();
  auto group = Cgroup::Create(*host, parent + "/limits");
  CHECK_OR_EXIT(group);
  oci::LinuxResources resources;
  resources.memory.limit = 32 << 20;
  auto set = group->SetLimits(resources);
  if (set) {
    CHECK_OR_EXIT(*sys::ReadCgroupNumber(group->fd(), "memory.max") == 32 << 20);
  } else {
    const std::string& message = set.error().message();
    fprintf(stderr, "%s\n", message.c_str());
    CHECK_OR_EXIT(set.error().code() == Errc::kUnsupported);
    CHECK_OR_EXIT(message.find("controller `memory`") != std::string::npos);
    CHECK_OR_EXIT(message.find("cgroup_no_v1") != std::string::npos ||
                  message.find("CONFIG_") != std::string::npos ||
                  message.find("cgroup_enable") != std::string::npos);
  }
  resources = {};
  resources.unified = {{"fish.max", "1"}};
  auto fish = group->SetLimits(resources);
  CHECK_OR_EXIT(!fish && fish.error().message().find("no such controller") != std::string::npos);
  CHECK_OR_EXIT(group->Remove());
  (void)sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(1));
  return 0;
}

// With files that need no controller.
int AChangeIsAllOrNothing() {
  auto host = sys::FindCgroupHost();
  std::string parent = TestParent();
  auto group = Cgroup::Create(*host, parent + "/limits");
  CHECK_OR_EXIT(group);
  auto depth = [&group] { return *ReadFileAt(group->fd(), "cgroup.max.depth"); };
  auto descendants = [&group] { return *ReadFileAt(group->fd(), "cgroup.max.descendants"); };
  oci::LinuxResources resources;
  resources.unified = {{"cgroup.max.depth", "3"}, {"cgroup.max.descendants", "fish"}};
  auto bad = group->ChangeLimits(resources);
  CHECK_OR_EXIT(!bad && bad.error().message().find("cgroup.max.descendants") != std::string::npos);
  CHECK_OR_EXIT(depth() == "max\n" && descendants() == "max\n");

  resources.unified["cgroup.max.descendants"] = "4";
  auto former = group->ChangeLimits(resources);
  CHECK_OR_EXIT(former && depth() == "3\n" && descendants() == "4\n");
  Error error = group->PutBack(*former, Error(Errc::kConflict, "why"));
  CHECK_OR_EXIT(error.message() == "why" && depth() == "max\n" && descendants() == "max\n");

  former->push_back({"cgroup.max.depth", "fish"});
  error = group->PutBack(*former, Error(Errc::kConflict, "why"));
  CHECK_OR_EXIT(error.message().starts_with("why; then: cannot set cgroup.max.depth"));
  CHECK_OR_EXIT(group->Remove());
  (void)sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(1));
  return 0;
}

int LimitsReadBack() {
  auto host = sys::FindCgroupHost();
  std::string parent = TestParent();
  auto group = Cgroup::Create(*host, parent + "/c/limits");
  CHECK_OR_EXIT(group);
  oci::LinuxResources resources;
  resources.memory = {.limit = 64 << 20, .reservation = 16 << 20, .swap = 64 << 20};
  resources.cpu.shares = 512;
  resources.cpu.quota = 25000;
  resources.cpu.cpus = "0";
  resources.pids_limit = 50;
  resources.unified = {{"memory.high", "50331648"}};
  auto set = group->SetLimits(resources);
  struct Expected {
    const char* file;
    const char* content;
  };
  const Expected files[] = {{"memory.max", "67108864\n"},  {"memory.low", "16777216\n"},
                            {"memory.high", "50331648\n"}, {"cpu.weight", "59\n"},
                            {"cpu.max", "25000 100000\n"}, {"cpuset.cpus", "0\n"},
                            {"pids.max", "50\n"}};
  bool same = true;
  for (const Expected& expected : files) {
    auto content = ReadFileAt(group->fd(), expected.file);
    same = same && content && *content == expected.content;
  }
  auto stats = group->Stats();
  bool counted =
      stats.memory_max == uint64_t{64} << 20 && stats.pids_max == 50 && stats.oom_kills == 0;
  CHECK_OR_EXIT(group->Remove());
  (void)sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(1));
  if (!set && set.error().code() == Errc::kUnsupported)
    return 77;
  CHECK_OR_EXIT(set);
  CHECK_OR_EXIT(same && counted);
  return 0;
}

int InnerProcessesMoveToALeaf() {
  auto host = sys::FindCgroupHost();
  std::string parent = TestParent();
  auto inner = MakeLeafCgroup(*host, parent);
  CHECK_OR_EXIT(inner);
  CHECK_OR_EXIT(WriteExistingAt(inner->get(), "cgroup.procs", "0"));
  CHECK_OR_EXIT(LeaveInnerCgroup(*host, parent + "/c"));
  CHECK_OR_EXIT(*sys::CgroupOf(0) == parent + "/daemon");
  CHECK_OR_EXIT(LeaveInnerCgroup(*host, parent + "/c"));
  CHECK_OR_EXIT(*sys::CgroupOf(0) == parent + "/daemon");
  CHECK_OR_EXIT(WriteExisting(host->mount + "/cgroup.procs", "0"));
  CHECK_OR_EXIT(sys::RemoveCgroup(host->mount + parent, std::chrono::seconds(2)));
  return 0;
}

class CgroupOnThisKernel : public testing::TestWithParam<int (*)()> {};

TEST_P(CgroupOnThisKernel, Works) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  int status = InPrivateNamespace(GetParam());
  if (status == 77)
    GTEST_SKIP() << "no private cgroup2 mount, controllers or BPF here";
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Cgroup, CgroupOnThisKernel,
                         testing::Values(LifeOfACgroup, DeviceRulesHold,
                                         MissingControllersAreExplained, AChangeIsAllOrNothing,
                                         LimitsReadBack, InnerProcessesMoveToALeaf));

TEST(Cgroup, BadPathsAreRefused) {
  sys::CgroupHost host{sys::CgroupMode::kUnified, "/sys/fs/cgroup"};
  for (const char* path : {"", "/", "a", "/a/../b", "//a", "/a/", "/./a"}) {
    EXPECT_FALSE(Cgroup::Create(host, path)) << path;
    EXPECT_FALSE(Cgroup::Open(host, path)) << path;
    EXPECT_FALSE(MakeLeafCgroup(host, path)) << path;
  }
}

}  // namespace
}  // namespace wherry::runtime
