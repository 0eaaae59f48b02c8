#include "cli/fleet/settings.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/file.h"
#include "core/base/ini.h"
#include "core/base/text.h"
#include "engine/mqtt_config.h"
#include "net/registry/options.h"
#include "net/tls/config.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kValue = OptionKind::kValue;
constexpr const char* kDefaultFile = "/etc/wherry/fleet.conf";
constexpr std::string_view kSection = "mqtt";

// Names of options and of keys in the file alike.
constexpr Option kConnection[] = {
    {"config", 0, kValue, "FILE", "INI file with a section [mqtt] of the options below"},
    {"broker", 0, kValue, "URL", "mqtts://HOST[:PORT]"},
    {"tenant", 0, kValue, "NAME", "Second level of the topics; \"default\" without it"},
    {"ca", 0, kValue, "FILE", "Authority of the broker's certificate; the system's without it"},
    {"certificate", 0, kValue, "FILE", "Certificate of this controller"},
    {"key", 0, kValue, "FILE", "Its private key"},
    {"rollout-key", 0, kValue, "FILE", "Private key that devices trust for rollouts"},
};

using Values = std::map<std::string, std::string, std::less<>>;

Result<> ReadFileValues(const std::string& file, Values& values) {
  std::string text = TRY(ReadFile(file));
  return ParseIni(text, file, [&](const IniEntry& entry) -> Result<> {
    auto row = std::ranges::find(kConnection, entry.key, &Option::name);
    if (entry.section != kSection || row == std::end(kConnection) || row == kConnection)
      return Fail(Errc::kInvalid,
                  Cat(entry.file, ":", entry.line, ": ", entry.key, " in [", entry.section,
                      "] is not known; [mqtt] has broker, tenant, ca, certificate, key and "
                      "rollout-key"));
    values[std::string(entry.key)] = entry.value;
    return {};
  });
}

}  // namespace

std::span<const Option> FleetConnectionOptions() {
  return kConnection;
}

Result<FleetSettings> ReadFleetSettings(const Arguments& arguments) {
  Values values;
  const char* environment = getenv("WHERRY_FLEET");
  std::string file = arguments.Value("config", environment != nullptr ? environment : "");
  if (!file.empty())
    TRY(ReadFileValues(file, values));
  else if (PathExists(kDefaultFile))
    TRY(ReadFileValues(kDefaultFile, values));
  for (const Option& option : kConnection) {
    if (arguments.Has(option.name))
      values[std::string(option.name)] = arguments.Value(option.name);
  }
  if (values["broker"].empty())
    return Fail(Errc::kInvalid, "no broker: name it with --broker, or in [mqtt] of --config FILE");
  auto broker = TRY_CTX("broker", engine::BrokerAddress::Parse(values["broker"]));
  FleetSettings settings;
  settings.rollout_key = values["rollout-key"];
  settings.session.tenant = values["tenant"].empty() ? "default" : values["tenant"];
  TRY_CTX("tenant", engine::CheckTopicLevel(settings.session.tenant));
  mqtt::ClientOptions& client = settings.session.client;
  // The name of one that asks only; whoever conducts a rollout has the rollout's.
  client.client_id = Cat("wherry-fleet-", RandomId().substr(0, 12));
  client.session_expiry = std::chrono::seconds(0);
  client.keep_alive = std::chrono::seconds(30);
  client.receive_maximum = 100;
  client.max_packet_bytes = 256 << 10;
  client.target.host = broker.host;
  client.target.port = broker.port;
  if (!broker.tls)
    return settings;
  tls::TlsTrust trust;
  trust.ca_files = {values["ca"].empty() ? registry::Options().system_ca : values["ca"]};
  trust.config_section = "[mqtt]";
  client.target.tls =
      TRY(tls::Config::Client(std::move(trust), {values["certificate"], values["key"]}));
  return settings;
}

Result<ota::PrivateKey> FleetCall::Key() const {
  if (settings.rollout_key.empty())
    return Fail(Errc::kInvalid,
                "no key to sign with: name it with --rollout-key, or rollout-key in [mqtt]");
  return ota::PrivateKey::Load(settings.rollout_key);
}

}  // namespace wherry::cli
