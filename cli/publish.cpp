#include "cli/publish.h"

#include <map>

#include "core/base/text.h"

namespace wherry::cli {

Result<std::vector<compose::Port>> ParsePublications(const std::vector<std::string>& words) {
  std::vector<compose::Port> list;
  for (const std::string& word : words) {
    for (compose::Port& port : TRY(compose::ParsePorts(word)))
      list.push_back(std::move(port));
  }
  return list;
}

Result<> WriteExposedPorts(JsonWriter& json, const Arguments& arguments) {
  std::map<std::string, bool> ports;
  for (const compose::Port& publication : TRY(ParsePublications(arguments.List("publish"))))
    ports[publication.port] = true;
  for (const compose::Port& publication : TRY(ParsePublications(arguments.List("expose"))))
    ports[publication.port] = true;
  if (ports.empty())
    return {};
  json.Key("ExposedPorts").Object();
  for (const auto& [port, exposed] : ports)
    json.Key(port).Object().End();
  json.End();
  return {};
}

Result<> WritePortBindings(JsonWriter& json, const Arguments& arguments) {
  std::map<std::string, std::vector<compose::Port>> by_port;
  for (compose::Port& publication : TRY(ParsePublications(arguments.List("publish"))))
    by_port[publication.port].push_back(std::move(publication));
  if (by_port.empty())
    return {};
  json.Key("PortBindings").Object();
  for (const auto& [port, publications] : by_port) {
    json.Key(port).Array();
    for (const compose::Port& publication : publications)
      json.Object().Field("HostIp", publication.address).Field("HostPort", publication.host).End();
    json.End();
  }
  json.End();
  return {};
}

Result<> WriteNetworking(JsonWriter& json, const Arguments& arguments) {
  const auto& networks = arguments.List("network");
  std::string main = networks.empty() ? "default" : networks.front();
  bool asked = networks.size() > 1 || arguments.Has("network-alias") || arguments.Has("ip") ||
               arguments.Has("mac-address");
  if (!asked)
    return {};
  json.Key("NetworkingConfig").Object().Key("EndpointsConfig").Object();
  json.Key(main).Object().Field("Aliases", arguments.List("network-alias"));
  json.Field("MacAddress", arguments.Value("mac-address")).Key("IPAMConfig").Object();
  if (arguments.Has("ip"))
    json.Field("IPv4Address", arguments.Value("ip"));
  json.End().End();
  for (size_t i = 1; i < networks.size(); ++i)
    json.Key(networks[i]).Object().End();
  json.End().End();
  return {};
}

}  // namespace wherry::cli
