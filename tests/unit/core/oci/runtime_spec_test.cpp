#include "core/oci/runtime_spec.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "core/base/text.h"

namespace wherry::oci {
namespace {

// A minimal configuration with `process`, `linux` and top-level members added.
std::string Config(const std::string& process = "", const std::string& linux_members = "",
                   const std::string& top = "") {
  return Cat(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"cwd":"/","args":["sh"])",
             process, R"(},"linux":{"namespaces":[{"type":"mount"},{"type":"uts"}])", linux_members,
             "}", top, "}");
}

std::string ErrorOf(const std::string& json) {
  auto spec = RuntimeSpec::Parse(json);
  return spec ? "" : spec.error().message();
}

TEST(RuntimeSpec, ReadsAMinimalConfiguration) {
  auto spec = RuntimeSpec::Parse(Config());
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->root_path, "rootfs");
  EXPECT_EQ(spec->process.args, std::vector<std::string>{"sh"});
  EXPECT_EQ(spec->process.cwd, "/");
  EXPECT_FALSE(spec->process.capabilities);
  EXPECT_FALSE(spec->process.oom_score_adj);
  ASSERT_NE(spec->FindNamespace(NamespaceType::kUts), nullptr);
  EXPECT_EQ(spec->FindNamespace(NamespaceType::kPid), nullptr);
}

TEST(RuntimeSpec, ReadsTheProcess) {
  auto spec = RuntimeSpec::Parse(Config(R"(,"terminal":true,"consoleSize":{"height":24,"width":80},
      "user":{"uid":1000,"gid":100,"umask":18,"additionalGids":[5,6],"username":"alice"},"env":["A=b","C="],
      "capabilities":{"bounding":["CAP_KILL"],"ambient":[]},"noNewPrivileges":true,"oomScoreAdj":-500,
      "rlimits":[{"type":"RLIMIT_NOFILE","soft":1024,"hard":4096},
                 {"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615}])"));
  ASSERT_TRUE(spec) << spec.error().message();
  const Process& process = spec->process;
  EXPECT_TRUE(process.terminal);
  EXPECT_EQ(process.console_size.height, 24);
  EXPECT_EQ(process.user.uid, 1000U);
  EXPECT_EQ(process.user.umask, 18U);
  EXPECT_EQ(process.user.additional_gids, (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(process.user.username, "alice");
  EXPECT_EQ(process.env, (std::vector<std::string>{"A=b", "C="}));
  EXPECT_EQ(process.capabilities->bounding, std::vector<std::string>{"CAP_KILL"});
  EXPECT_TRUE(process.no_new_privileges);
  EXPECT_EQ(process.oom_score_adj, -500);
  ASSERT_EQ(process.rlimits.size(), 2U);
  EXPECT_EQ(process.rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(process.rlimits[0].hard, 4096U);
  EXPECT_EQ(process.rlimits[1].soft, UINT64_MAX);
}

TEST(RuntimeSpec, ReadsTheRest) {
  auto spec = RuntimeSpec::Parse(Config(
      "",
      R"(,"devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":1,"gid":2}],
      "sysctl":{"net.ipv4.ip_forward":"1"},"cgroupsPath":"/a/b","rootfsPropagation":"rslave","seccomp":{"defaultAction":"X"},
      "maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"])",
      R"(,"hostname":"box","annotations":{"k":"v"},"unknown":{"x":1},
      "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]},{"destination":"/x"}])"));
  ASSERT_TRUE(spec) << spec.error().message();
  ASSERT_EQ(spec->devices.size(), 1U);
  EXPECT_EQ(spec->devices[0].file_mode, 0666U);
  EXPECT_EQ(spec->devices[0].minor, 229U);
  EXPECT_EQ(spec->sysctl["net.ipv4.ip_forward"], "1");
  EXPECT_EQ(spec->cgroups_path, "/a/b");
  EXPECT_EQ(spec->rootfs_propagation, Propagation::kSlave);
  EXPECT_TRUE(spec->rootfs_propagation_recursive);
  EXPECT_EQ(spec->seccomp, R"({"defaultAction":"X"})");
  ASSERT_EQ(spec->mounts.size(), 2U);
  EXPECT_EQ(spec->mounts[0].options, std::vector<std::string>{"nosuid"});
  EXPECT_EQ(spec->annotations["k"], "v");
}

TEST(RuntimeSpec, ReadsResources) {
  auto spec = RuntimeSpec::Parse(Config("", R"(,"resources":{
      "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":-1,"access":"rw"}],
      "memory":{"limit":33554432,"swap":-1,"swappiness":null},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1"},
      "pids":{"limit":0},"blockIO":{"weight":300,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]},
      "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],"unified":{"memory.high":"1000"}})"));
  ASSERT_TRUE(spec) << spec.error().message();
  const LinuxResources& resources = spec->resources;
  ASSERT_EQ(resources.devices.size(), 2U);
  EXPECT_EQ(resources.devices[0].type, 'a');
  EXPECT_TRUE(resources.devices[0].mknod);
  EXPECT_EQ(resources.devices[1].major, 1U);
  EXPECT_FALSE(resources.devices[1].minor);
  EXPECT_FALSE(resources.devices[1].mknod);
  EXPECT_EQ(resources.memory.limit, 33554432);
  EXPECT_EQ(resources.memory.swap, -1);
  EXPECT_FALSE(resources.memory.reservation);
  EXPECT_EQ(resources.cpu.quota, 50000);
  EXPECT_EQ(resources.cpu.cpus, "0-1");
  EXPECT_EQ(resources.pids_limit, 0);
  EXPECT_EQ(resources.block_io.read_bps.at(0).rate, 1048576U);
  EXPECT_EQ(resources.hugepage_limits.at(0).page_size, "2MB");
  EXPECT_EQ(resources.unified.at("memory.high"), "1000");
}

TEST(RuntimeSpec, NullAndEmptyAskForNothing) {
  EXPECT_EQ(
      ErrorOf(Config(
          R"(,"rlimits":null,"capabilities":null,"apparmorProfile":"","selinuxLabel":"")",
          R"(,"uidMappings":[],"timeOffsets":{},"resources":{"memory":{"disableOOMKiller":false,"kernel":0}})",
          R"(,"hooks":{"prestart":[]},"mounts":null)")),
      "");
}

struct Row {
  const char* process;
  const char* linux_members;
  const char* top;
  const char* message;
};

TEST(RuntimeSpec, NamesTheFieldThatIsWrong) {
  const Row rows[] = {
      {R"(,"user":{"uid":-1})", "", "",
       "config.json: process.user.uid must be from 0 to 4294967294"},
      {R"(,"user":{"uid":4294967295})", "", "", "process.user.uid must be"},
      {R"(,"user":{"uid":"0"})", "", "", "process.user.uid must be a number"},
      {R"(,"user":[])", "", "", "process.user must be an object"},
      {R"(,"user":{"additionalGids":[1,99999999999]})", "", "",
       "process.user.additionalGids[1] must be from"},
      {R"(,"env":["A=b","C"])", "", "", "process.env entry is not NAME=value: C"},
      {R"(,"env":["=b"])", "", "", "process.env entry is not NAME=value"},
      {R"(,"env":[1])", "", "", "process.env[0] must be a string"},
      {R"(,"terminal":"yes")", "", "", "process.terminal must be true or false"},
      {R"(,"rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}])", "", "",
       "process.rlimits[0].type names no resource limit"},
      {R"(,"rlimits":[{"type":"RLIMIT_AS","soft":2,"hard":1}])", "", "",
       "process.rlimits[0] has a soft limit above"},
      {R"(,"rlimits":[{"type":"RLIMIT_AS","hard":1}])", "", "",
       "process.rlimits[0].soft is missing"},
      {R"(,"oomScoreAdj":5000)", "", "", "process.oomScoreAdj must be from -1000 to 1000"},
      {R"(,"apparmorProfile":1)", "", "", "process.apparmorProfile must be a string"},
      {R"(,"scheduler":{"policy":"SCHED_LAZY"})", "", "",
       "process.scheduler.policy must be a name"},
      {R"(,"scheduler":{"policy":"SCHED_RR","flags":["X"]})", "", "",
       "process.scheduler.flags[0] must be a name"},
      {R"(,"scheduler":{"policy":"SCHED_DEADLINE","runtime":9000,"deadline":8000})", "", "",
       "process.scheduler is refused by sched_setattr: `SCHED_DEADLINE` runtime 9000 must be <= "
       "deadline"},
      {R"(,"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8})", "", "",
       "process.ioPriority.priority must be from 0 to 7"},
      {R"(,"execCPUAffinity":{"initial":"3-1"})", "", "",
       "process.execCPUAffinity.initial must look like"},
      {R"(,"execCPUAffinity":{"final":"99999999999"})", "", "",
       "process.execCPUAffinity.final must look like"},
      {R"(,"commandLine":"x")", "", "", "process.commandLine is not supported"},
      {"", R"(,"uidMappings":[{"containerID":0,"hostID":1,"size":1}])", "",
       "linux.uidMappings and gidMappings need a user namespace"},
      {"", R"(,"uidMappings":[{"containerID":0,"hostID":4294967294,"size":2}])", "",
       "linux.uidMappings[0].size must be from 1 to 1"},
      {"", R"(,"gidMappings":[{"containerID":0,"size":2}])", "",
       "linux.gidMappings[0].hostID must be a number"},
      {"", R"(,"timeOffsets":{"monotonic":{"secs":1}})", "",
       "linux.timeOffsets need a new time namespace"},
      {"", R"(,"timeOffsets":{"realtime":{"secs":1}})", "", "linux.timeOffsets.realtime names no"},
      {"", R"(,"timeOffsets":{"boottime":{"nanosecs":1000000000}})", "",
       "linux.timeOffsets.boottime.nanosecs must be"},
      {"", R"(,"personality":{"domain":"DOS"})", "", "linux.personality.domain must be a name"},
      {"", R"(,"personality":{"domain":"LINUX","flags":["X"]})", "",
       "linux.personality.flags is not supported"},
      {"", R"(,"memoryPolicy":{"mode":"MPOL_X"})", "", "linux.memoryPolicy.mode must be a name"},
      {"", R"(,"memoryPolicy":{"mode":"MPOL_BIND","nodes":",1"})", "",
       "linux.memoryPolicy.nodes must look like"},
      {"", R"(,"seccomp":{"listenerPath":1})", "", "linux.seccomp.listenerPath must be a string"},
      {"", R"(,"resources":{"rdma":{"mlx 5":{"hcaHandles":1}}})", "",
       "linux.resources.rdma.mlx 5 must be the name of an RDMA device"},
      {"", R"(,"rootfsPropagation":"none")", "", "linux.rootfsPropagation names no propagation"},
      {"", R"(,"devices":[{"path":"dev/x","type":"c"}])", "",
       "linux.devices[0].path must be an absolute path"},
      {"", R"(,"devices":[{"path":"/dev/x","type":"q"}])", "",
       "linux.devices[0].type must be c, u, b or p"},
      {"", R"(,"devices":[{"path":"/dev/x","type":"c","minor":1}])", "",
       "linux.devices[0].major must be a number"},
      {"", R"(,"resources":{"devices":[{"access":"rx"}]})", "",
       "linux.resources.devices[0].access may only have"},
      {"", R"(,"resources":{"memory":{"swappiness":0}})", "",
       "linux.resources.memory.swappiness is not supported"},
      {"", R"(,"resources":{"pids":{"limit":1.0e30}})", "", ""},
      {"", R"(,"resources":{"unified":{"../x":"1"}})", "",
       "linux.resources.unified.../x must be the name of a file"},
      {"", R"(,"sysctl":{"a":1})", "", "linux.sysctl.a must be a string"},
      {"", "", R"(,"hooks":{"createContainer":[{"path":"x"}]})",
       "hooks.createContainer[0].path must be an absolute path"},
      {"", "", R"(,"hooks":{"lunch":[{"path":"/x"}]})", "hooks.lunch is not supported"},
      {"", "", R"(,"hooks":{"prestart":[{"path":"x"}]})",
       "hooks.prestart[0].path must be an absolute path"},
      {"", "", R"(,"hooks":{"poststop":[{"path":"/x","timeout":0}]})",
       "hooks.poststop[0].timeout must be"},
      {"", "", R"(,"hooks":{"poststart":[{"path":"/x","env":["=a"]}]})", "hooks.poststart[0].env"},
      {"", "", R"(,"mounts":[{"destination":"/a"},{"destination":"b"}])",
       "mounts[1].destination must be an absolute path"},
      {"", "", R"(,"mounts":[{"destination":"/a","uidMappings":[{"x":1}]}])",
       "mounts[0].uidMappings[0].containerID must be a number"},
      {"", "",
       R"(,"mounts":[{"destination":"/a","gidMappings":[{"containerID":0,"hostID":1,"size":1}]}])",
       "mounts[0] needs uidMappings and gidMappings"},
      {"", "", R"(,"windows":{"layerFolders":["x"]})", "windows is not supported"},
  };
  for (const Row& row : rows) {
    std::string error = ErrorOf(Config(row.process, row.linux_members, row.top));
    EXPECT_NE(error.find(row.message), std::string::npos) << error << " lacks " << row.message;
  }
}

TEST(RuntimeSpec, ChecksNamespaces) {
  auto with = [](const std::string& namespaces) {
    return Cat(
        R"({"ociVersion":"1.2.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"]},"hostname":"h","linux":{"namespaces":)",
        namespaces, "}}");
  };
  EXPECT_NE(ErrorOf(with(R"([{"type":"mount"},{"type":"mount"},{"type":"uts"}])"))
                .find("namespaces[1] repeats mount"),
            std::string::npos);
  EXPECT_NE(ErrorOf(with(R"([{"type":"mount"},{"type":"user"},{"type":"uts"}],)"
                         R"("uidMappings":[{"containerID":0,"hostID":1,"size":1}])"))
                .find("a new user namespace needs linux.uidMappings and gidMappings, or none"),
            std::string::npos);
  EXPECT_NE(ErrorOf(with(R"([{"type":"zoo"}])")).find("names no namespace: zoo"),
            std::string::npos);
  EXPECT_NE(ErrorOf(with(R"([{"type":"mount"}])")).find("need a uts namespace"), std::string::npos);
  EXPECT_NE(
      ErrorOf(with(R"([{"type":"uts"}])")).find("without its own mount namespace is not supported"),
      std::string::npos);
  EXPECT_NE(ErrorOf(with(R"([{"type":"mount"},{"type":"uts","path":"x"}])"))
                .find("namespaces[1].path must be"),
            std::string::npos);
}

TEST(RuntimeSpec, NamesWhatIsMissing) {
  EXPECT_NE(ErrorOf("{}").find("ociVersion"), std::string::npos);
  EXPECT_NE(ErrorOf("[]").find("object"), std::string::npos);
  EXPECT_NE(ErrorOf("{"), "");
  EXPECT_NE(ErrorOf(R"({"ociVersion":"2.0"})").find("ociVersion must be 1.x"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"ociVersion":"1.0.2"})").find("process is missing"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"ociVersion":"1.0.2","process":{"args":[],"cwd":"/"}})")
                .find("process.args must name a program"),
            std::string::npos);
  EXPECT_NE(ErrorOf(R"({"ociVersion":"1.0.2","process":{"args":["a"]}})")
                .find("process.cwd must be an absolute path"),
            std::string::npos);
  EXPECT_NE(ErrorOf(R"({"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/"}})")
                .find("root is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace wherry::oci
