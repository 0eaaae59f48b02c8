#include "engine/https.h"

#include <gtest/gtest.h>

namespace wherry::engine {
namespace {

http::Peer Remote(const std::string& name) {
  http::Peer peer;
  peer.remote = true;
  peer.certificate_name = name;
  return peer;
}

TEST(Https, RolesByTheNameOfTheCertificate) {
  HttpsConfig config;
  config.admins = {"ops", "both"};
  config.readers = {"monitor", "both", ""};
  EXPECT_EQ(RoleOf(config, Remote("ops")), Role::kAdmin);
  EXPECT_EQ(RoleOf(config, Remote("both")), Role::kAdmin);
  EXPECT_EQ(RoleOf(config, Remote("monitor")), Role::kReader);
  for (const char* name : {"", "OPS", "ops ", "op", "other"})
    EXPECT_EQ(RoleOf(config, Remote(name)), Role::kNone) << name;
  EXPECT_EQ(RoleOf({}, Remote("ops")), Role::kNone);
}

TEST(Https, TheUnixSocketIsForAdmins) {
  http::Peer peer;
  peer.pid = 1;
  EXPECT_EQ(RoleOf({}, peer), Role::kAdmin);
}

TEST(Https, WhatIsMissingIsNamed) {
  auto error = [](const HttpsConfig& config) {
    auto checked = CheckHttps(config);
    return checked ? std::string() : checked.error().message();
  };
  HttpsConfig config;
  EXPECT_EQ(error(config), "");
  config.listen = "0.0.0.0:2376";
  EXPECT_EQ(error(config), "section [https] needs certificate, too");
  config.certificate = "/c";
  EXPECT_EQ(error(config), "section [https] needs key, too");
  config.key = "/k";
  EXPECT_EQ(error(config), "section [https] needs client-ca, too");
  config.client_ca = "/ca";
  EXPECT_EQ(error(config), "section [https] needs admins or readers, too");
  config.readers = {"monitor"};
  EXPECT_EQ(error(config), "");
}

}  // namespace
}  // namespace wherry::engine
