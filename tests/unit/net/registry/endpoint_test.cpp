#include "net/registry/endpoint.h"

#include <gtest/gtest.h>

namespace wherry::registry {
namespace {

http::TlsOptions Tls(const Options& options, const std::string& home, const std::string& url) {
  return TlsFor(options, home, *http::OriginOf(url));
}

TEST(Endpoints, Loopback) {
  for (std::string_view host :
       {"localhost", "localhost:5000", "127.0.0.1", "127.8.9.10:1", "[::1]:5000"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (std::string_view host :
       {"127.0.0.1.example", "128.0.0.1", "127.0.0", "127.0.0.999", "localhost.example", "x"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(Endpoints, PlainHttpOnlyWhereListed) {
  Options options;
  options.hosts["lab:5000"].insecure = true;
  options.hosts["127.0.0.1:5001"].ca_file = "/ca.pem";
  auto secure = PlanEndpoints(options, "registry.example");
  ASSERT_EQ(secure.size(), 1u);
  EXPECT_EQ(secure[0].base_urls, std::vector<std::string>{"https://registry.example"});
  auto insecure = PlanEndpoints(options, "lab:5000");
  EXPECT_EQ(insecure[0].base_urls,
            (std::vector<std::string>{"https://lab:5000", "http://lab:5000"}));
  auto with_ca = PlanEndpoints(options, "127.0.0.1:5001");
  EXPECT_EQ(with_ca[0].base_urls.size(), 1u);
}

TEST(Endpoints, MirrorsComeFirst) {
  Options options;
  options.hosts["docker.io"].mirrors = {"https://mirror.example/", "http://127.0.0.1:5000"};
  auto plans = PlanEndpoints(options, "docker.io");
  ASSERT_EQ(plans.size(), 3u);
  EXPECT_EQ(plans[0].base_urls[0], "https://mirror.example");
  EXPECT_EQ(plans[0].home, "mirror.example");
  EXPECT_TRUE(plans[0].mirror);
  EXPECT_EQ(plans[1].base_urls[0], "http://127.0.0.1:5000");
  EXPECT_EQ(plans[2].base_urls[0], "https://registry-1.docker.io");
  EXPECT_FALSE(plans[2].mirror);
}

TEST(Trust, RegistryItself) {
  Options options;
  options.system_ca = "/system.pem";
  options.hosts["lab:5000"].insecure = true;
  options.hosts["shop:5000"] = {false, "/shop.pem", "/c.crt", "/c.key", {}};
  options.hosts["127.0.0.1:5001"].ca_file = "/ca.pem";
  options.hosts["docker.io"].client_cert_file = "/hub.crt";
  EXPECT_TRUE(Tls(options, "a.example", "https://a.example/v2/").verify);
  EXPECT_EQ(Tls(options, "a.example", "https://a.example/v2/").ca_files,
            std::vector<std::string>{"/system.pem"});
  EXPECT_FALSE(Tls(options, "lab:5000", "https://lab:5000/v2/").verify);
  EXPECT_FALSE(Tls(options, "127.0.0.1:5000", "https://127.0.0.1:5000/v2/").verify);
  EXPECT_TRUE(Tls(options, "127.0.0.1:5001", "https://127.0.0.1:5001/v2/").verify);
  auto shop = Tls(options, "shop:5000", "https://shop:5000/v2/");
  EXPECT_EQ(shop.ca_files, std::vector<std::string>{"/shop.pem"});
  EXPECT_EQ(shop.cert_file, "/c.crt");
  EXPECT_EQ(Tls(options, "docker.io", "https://registry-1.docker.io/v2/").cert_file, "/hub.crt");
}

TEST(Trust, OtherHosts) {
  Options options;
  options.system_ca = "/system.pem";
  options.hosts["lab:5000"].insecure = true;
  options.hosts["shop:5000"] = {false, "/shop.pem", "/c.crt", "/c.key", {}};
  options.hosts["files.example"].ca_file = "/files.pem";
  auto elsewhere = Tls(options, "shop:5000", "https://cdn.example/blob");
  EXPECT_EQ(elsewhere.ca_files, (std::vector<std::string>{"/system.pem", "/shop.pem"}));
  EXPECT_EQ(elsewhere.cert_file, "") << "a client certificate is for its registry only";
  EXPECT_EQ(elsewhere.key_file, "");
  EXPECT_TRUE(Tls(options, "lab:5000", "https://cdn.example/blob").verify)
      << "insecure is said of one host";
  EXPECT_EQ(Tls(options, "shop:5000", "https://files.example/x").ca_files,
            std::vector<std::string>{"/files.pem"});
  EXPECT_EQ(Tls(options, "shop:5000", "https://shop/v2/").cert_file, "")
      << "another port is another origin";
}

}  // namespace
}  // namespace wherry::registry
