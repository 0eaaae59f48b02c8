#include "engine/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::engine {
namespace {

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/wherry-config.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    ASSERT_TRUE(MakeDirs(Cat(directory_, "/conf.d"), 0755));
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(directory_)); }

  std::string File() const { return Cat(directory_, "/wherry.conf"); }
  void Write(std::string_view name, std::string_view text) {
    ASSERT_TRUE(ReplaceFile(Cat(directory_, "/", name), text, 0644, Durability::kVolatile));
  }
  // The error of loading `text`, empty when it loads.
  std::string ErrorOf(std::string_view text) {
    Write("wherry.conf", text);
    auto config = LoadConfig(File(), {});
    return config ? std::string() : config.error().message();
  }

  std::string directory_;
};

TEST_F(ConfigTest, DefaultsWithoutFiles) {
  auto config = LoadConfig(std::string(kDefaultConfigFile), {});
  if (!PathExists(std::string(kDefaultConfigFile))) {
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->socket, "/run/wherry/wherry.sock");
    EXPECT_EQ(config->cgroup_parent, "/wherry");
  }
  auto named = LoadConfig(Cat(directory_, "/absent.conf"), {});
  ASSERT_FALSE(named) << "a file named explicitly must exist";
  EXPECT_NE(named.error().message().find("absent.conf"), std::string::npos);
}

TEST_F(ConfigTest, IdsOfContainers) {
  Write("wherry.conf", "[containers]\nuserns-remap = 100000:65536\n");
  auto config = LoadConfig(File(), {});
  ASSERT_TRUE(config) << config.error().message();
  ASSERT_TRUE(config->ids);
  EXPECT_EQ(OutsideId(config->ids->users, 65535), 165535U);
  EXPECT_EQ(OutsideId(config->ids->groups, 65536), std::nullopt);
  Write("conf.d/off.conf", "[containers]\nuserns-remap = off\n");
  EXPECT_FALSE(LoadConfig(File(), {})->ids);
  ASSERT_TRUE(RemoveTree(Cat(directory_, "/conf.d/off.conf")));
  for (const char* bad : {"0:65536", "1:4294967295", "100000:0", "100000", "x:y", ""}) {
    EXPECT_NE(ErrorOf(Cat("[containers]\nuserns-remap = ", bad, "\n")).find("userns-remap"),
              std::string::npos)
        << bad;
  }
}

TEST_F(ConfigTest, LaterFilesAndTheCommandLineWin) {
  Write("wherry.conf", "[daemon]\nroot = /a\nrun = /r\n[containers]\nstop-timeout = 3s\n");
  Write("conf.d/10.conf", "[daemon]\nroot = /b\n");
  Write("conf.d/20.conf", "[daemon]\nroot = /c\n");
  Write("conf.d/30.conf.off", "[daemon]\nroot = /never\n");
  auto config = LoadConfig(File(), {{"run", "/other"}});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->root, "/c");
  EXPECT_EQ(config->origins["daemon.root"], Cat(directory_, "/conf.d/20.conf:2"));
  EXPECT_EQ(config->run, "/other");
  EXPECT_EQ(config->origins["daemon.run"], "command line");
  EXPECT_EQ(config->stop_timeout_seconds, 3);
  EXPECT_EQ(config->socket, "/other/wherry.sock");
  EXPECT_NE(config->cgroup_parent, "/wherry") << "a second instance has cgroups of its own";
}

TEST_F(ConfigTest, ErrorsNameFileAndLine) {
  struct Bad {
    std::string_view text;
    std::string_view line;
    std::string_view says;
  };
  const Bad cases[] = {
      {"[daemon]\n\nrooot = /a\n", "wherry.conf:3", "known keys are root"},
      {"[daemons]\nroot = /a\n", "wherry.conf:2", "unknown section"},
      {"[containers]\nlog-max-size = 10x\n", "wherry.conf:2", "10x"},
      {"[containers]\nstop-timeout = 10\n", "wherry.conf:2", "10"},
      {"[containers]\ndefault-network = lan\n", "wherry.conf:2", "bridge, none or host"},
      {"[networks]\nbridge = a/b\n", "wherry.conf:2", "15 letters"},
      {"[networks]\nbridge-subnet = 10.0.0.0/40\n", "wherry.conf:2", "10.0.0.0/40"},
      {"[daemon]\nroot = relative\n", "wherry.conf:2", "absolute"},
      {"[daemon]\nlog-level = loud\n", "wherry.conf:2", "loud"},
      {"[registry \"h\"]\ninsecure = yes\n", "wherry.conf:2", "true or false"},
      {"[registry \"h\"]\nmirror = host:5000\n", "wherry.conf:2", "http://"},
      {"[registry \"h\"]\nspeed = 1\n", "wherry.conf:2", "insecure, ca"},
      {"[registries]\nretries = -1\n", "wherry.conf:2", "-1"},
      {"[daemon]\ncgroup-parent = /a/../b\n", "wherry.conf:2", "without .."},
      {"[daemon]\nroot\n", "wherry.conf:2", ""},
      {"[https]\nlisten = localhost:1\n", "wherry.conf:2", "ADDRESS:PORT"},
      {"[https]\nadmins = a,\n", "wherry.conf:2", "divided by commas"},
      {"[https]\nlisten = 0.0.0.0:2376\n", "wherry.conf:2", "needs certificate"},
  };
  for (const Bad& bad : cases) {
    std::string message = ErrorOf(bad.text);
    EXPECT_NE(message.find(bad.line), std::string::npos) << bad.text << " -> " << message;
    EXPECT_NE(message.find(bad.says), std::string::npos) << bad.text << " -> " << message;
  }
}

TEST_F(ConfigTest, Registries) {
  Write("wherry.conf",
        "[registry \"docker.io\"]\nmirror = https://a\nmirror = http://b:5000\n"
        "[registry \"lab:5000\"]\ninsecure = true\nca = /ca.pem\n");
  auto config = LoadConfig(File(), {});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->registry.hosts["docker.io"].mirrors,
            (std::vector<std::string>{"https://a", "http://b:5000"}));
  EXPECT_TRUE(config->registry.hosts["lab:5000"].insecure);
  EXPECT_EQ(config->registry.hosts["lab:5000"].ca_file, "/ca.pem");
}

TEST_F(ConfigTest, Https) {
  Write("wherry.conf",
        "[https]\nlisten = [::]:2376\ncertificate = /c.pem\nkey = /k.pem\nclient-ca = /ca.pem\n"
        "admins = ops, ci\nreaders = monitor\n");
  auto config = LoadConfig(File(), {});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->https.listen, "[::]:2376");
  EXPECT_EQ(config->https.admins, (std::vector<std::string>{"ops", "ci"}));
  EXPECT_NE(DescribeConfigJson(*config).find(R"("value":"ops, ci")"), std::string::npos);
  Write("wherry.conf", "");
  EXPECT_EQ(DescribeConfigJson(*LoadConfig(File(), {})).find("https"), std::string::npos);
}

TEST_F(ConfigTest, DescriptionReadsBackAsTheSameConfiguration) {
  Write(
      "wherry.conf",
      "[daemon]\nroot = /data\n[store]\nreserve = 1m\n[registry \"lab:5000\"]\ninsecure = true\n");
  auto config = LoadConfig(File(), {});
  ASSERT_TRUE(config);
  std::string lines = DescribeConfigJson(*config);
  std::string text = DescribeConfig(JsonDocument::Parse(lines, "lines")->root());
  EXPECT_NE(text.find(Cat("# ", File(), ":2\nroot = /data\n")), std::string::npos) << text;
  EXPECT_NE(text.find("# default\nrun = /run/wherry\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace wherry::engine
