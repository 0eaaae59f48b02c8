#include "engine/compose/service.h"

#include <gtest/gtest.h>

#include "tests/unit/engine/compose/loading.h"

namespace wherry::compose {
namespace {

Service Read(const std::string& keys) {
  Group group = GroupOf("services: {a: {image: x, " + keys + "}}\nvolumes: {data: }");
  return group.services.empty() ? Service() : group.services[0];
}

std::string Config(const std::string& keys, const std::string& member) {
  return Read(keys).config[member];
}
std::string Host(const std::string& keys, const std::string& member) {
  return Read(keys).host_config[member];
}
std::string Problem(const std::string& keys) {
  return ProblemOf("services: {a: {image: x, " + keys + "}}\nvolumes: {data: }");
}

TEST(Service, MembersOfTheRequest) {
  EXPECT_EQ(Config("command: a 'b c' \"d\\\"e\" f\\ g", "Cmd"), R"(["a","b c","d\"e","f g"])");
  EXPECT_EQ(Config("command: [a, 'b c', 3]", "Cmd"), R"(["a","b c","3"])");
  EXPECT_EQ(Config("command: []", "Cmd"), "[]");
  EXPECT_EQ(Config("command: ", "Cmd"), "");
  EXPECT_EQ(Config("entrypoint: /x y", "Entrypoint"), R"(["/x","y"])");
  EXPECT_EQ(Config("stop_grace_period: 1m30s", "StopTimeout"), "90");
  EXPECT_EQ(Config("stop_grace_period: 1500ms", "StopTimeout"), "2");
  EXPECT_EQ(Config("user: 1000", "User"), R"("1000")");
  EXPECT_EQ(Host("cpus: 1.5", "NanoCpus"), "1500000000");
  EXPECT_EQ(Host("cpus: '0.25'", "NanoCpus"), "250000000");
  EXPECT_EQ(Host("mem_limit: 64m", "Memory"), "67108864");
  EXPECT_EQ(Host("mem_limit: 1000", "Memory"), "1000");
  EXPECT_EQ(Host("memswap_limit: -1", "MemorySwap"), "-1");
  EXPECT_EQ(Host("privileged: 'true'", "Privileged"), "true");
  EXPECT_EQ(Host("cap_add: [A, B]", "CapAdd"), R"(["A","B"])");
  EXPECT_EQ(Host("dns: 1.1.1.1", "Dns"), R"(["1.1.1.1"])");
  EXPECT_EQ(Host("sysctls: [a.b=1]", "Sysctls"), R"({"a.b":"1"})");
  EXPECT_EQ(Host("sysctls: {a.b: 1}", "Sysctls"), R"({"a.b":"1"})");
  EXPECT_EQ(Host("tmpfs: '/t:size=1m'", "Tmpfs"), R"({"/t":"size=1m"})");
  EXPECT_EQ(Host("extra_hosts: ['h:1.2.3.4']", "ExtraHosts"), R"(["h:1.2.3.4"])");
  EXPECT_EQ(Host("extra_hosts: {h: 1.2.3.4}", "ExtraHosts"), R"(["h:1.2.3.4"])");
  EXPECT_EQ(Host("ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}", "Ulimits"),
            R"([{"Name":"nofile","Soft":1,"Hard":2},{"Name":"nproc","Soft":3,"Hard":3}])");
  EXPECT_EQ(Host("devices: ['/dev/a:/dev/b:r', /dev/c]", "Devices"),
            R"([{"PathOnHost":"/dev/a","PathInContainer":"/dev/b","CgroupPermissions":"r"},)"
            R"({"PathOnHost":"/dev/c","PathInContainer":"/dev/c","CgroupPermissions":"rwm"}])");
  EXPECT_EQ(Host("logging: {driver: none, options: {a: 1}}", "LogConfig"),
            R"({"Type":"none","Config":{"a":"1"}})");
}

TEST(Service, RestartPolicies) {
  EXPECT_EQ(Host("restart: no", "RestartPolicy"), R"({"Name":"no","MaximumRetryCount":0})");
  EXPECT_EQ(Host("restart: 'on-failure:3'", "RestartPolicy"),
            R"({"Name":"on-failure","MaximumRetryCount":3})");
  EXPECT_EQ(Host("deploy: {restart_policy: {condition: any}}", "RestartPolicy"),
            R"({"Name":"always","MaximumRetryCount":0})");
  EXPECT_NE(Problem("restart: sometimes"), "");
  EXPECT_NE(Problem("restart: 'always:3'"), "");
}

TEST(Service, Healthchecks) {
  EXPECT_EQ(Config("healthcheck: {test: curl x, interval: 5s, retries: 2}", "Healthcheck"),
            R"({"Test":["CMD-SHELL","curl x"],"Interval":5000000000,"Retries":2})");
  EXPECT_EQ(Config("healthcheck: {disable: true}", "Healthcheck"), R"({"Test":["NONE"]})");
  EXPECT_EQ(Problem("healthcheck: {test: [curl, x]}"),
            "compose.yaml:1: services.a.healthcheck.test must begin with NONE, CMD or CMD-SHELL");
}

TEST(Service, Deploy) {
  Service service = Read(
      "deploy: {mode: replicated, replicas: 2, resources: {limits: {cpus: '0.5', memory: 1m, pids: "
      "9},"
      " reservations: {memory: 2m}}}");
  EXPECT_EQ(service.scale, 2);
  EXPECT_EQ(service.host_config["NanoCpus"], "500000000");
  EXPECT_EQ(service.host_config["Memory"], "1048576");
  EXPECT_EQ(service.host_config["PidsLimit"], "9");
  EXPECT_EQ(service.host_config["MemoryReservation"], "2097152");
  EXPECT_EQ(Problem("deploy: {placement: {}}"),
            "compose.yaml:1: services.a.deploy.placement is not supported by wherry");
}

TEST(Service, Mounts) {
  Service service = Read(
      "volumes: ['data:/d', './x/../y:/y:ro', '/anon', {type: bind, source: ~/z, target: /z, "
      "read_only: true}, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 1777}}]");
  ASSERT_EQ(service.mounts.size(), 5U);
  EXPECT_EQ(service.mounts[0].source, "data");
  EXPECT_EQ(service.mounts[1].source, "/srv/shop/y");
  EXPECT_TRUE(service.mounts[1].read_only);
  EXPECT_EQ(service.mounts[2].source, "");
  EXPECT_EQ(service.mounts[3].type, Mount::Type::kBind);
  EXPECT_EQ(service.mounts[4].tmpfs_size, 1 << 20);
  EXPECT_EQ(service.mounts[4].tmpfs_mode, 01777);
  EXPECT_NE(Problem("volumes: ['data:relative']"), "");
  EXPECT_NE(Problem("volumes: ['a:b:c:d']"), "");
  EXPECT_NE(Problem("volumes: [{type: cluster, target: /x}]").find("\"cluster\""),
            std::string::npos);
  EXPECT_NE(Problem("volumes: [{type: bind, target: /x}]"), "");
  EXPECT_EQ(Problem("volumes: ['other:/x']"),
            "service a uses the volume other, which is not among the volumes of the file");
}

TEST(Service, Networks) {
  Group group = GroupOf(
      "services: {a: {image: x, mac_address: '02:00:00:00:00:01', networks: {n: , m: {aliases: "
      "[z], ipv4_address: 10.0.0.2,"
      " priority: 5}}}, b: {image: x}, c: {image: x, network_mode: host}}\nnetworks: {n: , m: "
      "{name: real}}");
  const Service& a = group.services[0];
  ASSERT_EQ(a.networks.size(), 2U);
  EXPECT_EQ(a.networks[0].network, "m");
  EXPECT_EQ(a.networks[0].ipv4, "10.0.0.2");
  EXPECT_EQ(a.networks[0].mac_address, "02:00:00:00:00:01");
  EXPECT_EQ(group.services[1].networks[0].network, "default");
  EXPECT_TRUE(group.services[2].networks.empty());
  EXPECT_EQ(group.FindNetwork("default")->name, "shop_default");
  EXPECT_EQ(group.FindNetwork("m")->name, "real");
  EXPECT_NE(Problem("networks: [q]").find("network q"), std::string::npos);
  EXPECT_NE(Problem("network_mode: host, networks: [default]").find("exclude each other"),
            std::string::npos);
}

TEST(Service, BuildAndImage) {
  Group group =
      GroupOf("services: {a: {build: sub}, b: {build: {context: /abs, args: [A=1, B]}, image: n}}");
  EXPECT_EQ(group.services[0].image, "shop-a");
  EXPECT_EQ(group.services[0].build->context, "/srv/shop/sub");
  EXPECT_EQ(group.services[1].image, "n");
  EXPECT_EQ(group.services[1].build->args["A"], "1");
  EXPECT_FALSE(group.services[1].build->args["B"]);
  EXPECT_NE(ProblemOf("services: {a: {build: 'https://x/y.git'}}").find("not supported"),
            std::string::npos);
  EXPECT_NE(ProblemOf("services: {a: {command: x}}").find("needs an image or a build"),
            std::string::npos);
}

TEST(Service, WrongTypesNamePathAndLine) {
  EXPECT_EQ(Problem("tty: maybe"), "compose.yaml:1: services.a.tty must be true or false");
  EXPECT_EQ(Problem("ports: {a: b}"), "compose.yaml:1: services.a.ports must be a list");
  EXPECT_EQ(Problem("image2: y"), "compose.yaml:1: services.a.image2 is not supported by wherry");
  EXPECT_EQ(Problem("cpus: many"),
            "compose.yaml:1: services.a.cpus must be a number of processors such as 1.5");
  EXPECT_EQ(Problem("cap_add: [[a]]"), "compose.yaml:1: services.a.cap_add[0] must be a string");
  EXPECT_EQ(Problem("pid: 'service:b'"),
            "compose.yaml:1: services.a.pid service:b is not supported by wherry");
  EXPECT_EQ(Problem("command: 'a ''b'"),
            "compose.yaml:1: services.a.command has a quote that is not closed");
  for (const char* keys : {"mem_limit: -5",
                           "mem_limit: x",
                           "scale: -1",
                           "scale: 1001",
                           "stop_grace_period: 10",
                           "pids_limit: 1.5",
                           "ulimits: [a]",
                           "environment: 5",
                           "labels: [[a]]",
                           "depends_on: x",
                           "healthcheck: x",
                           "build: [x]",
                           "ports: ['x']",
                           "ports: [{published: 1}]",
                           "expose: ['1:2']",
                           "pull_policy: daily",
                           "extra_hosts: [h]",
                           "devices: [a]",
                           "container_name: c, scale: 2",
                           "depends_on: {b: {condition: x}}",
                           "links: [b]",
                           "extends: b",
                           "env_file: 5x"}) {
    EXPECT_NE(Problem(keys), "") << keys;
  }
}

}  // namespace
}  // namespace wherry::compose
