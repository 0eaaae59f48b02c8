#include "cli/publish.h"

#include <map>

#include "core/base/text.h"

namespace wherry::cli {

namespace {

struct Range {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t count() const { return last - first + 1; }
};

Result<Range> ParseRange(std::string_view text, std::string_view word) {
  auto split = SplitFirst(text, '-');
  auto first = ParseUint(split ? split->head : text);
  auto last = ParseUint(split ? split->tail : text);
  if (!first || !last || *first > *last || *last > 65535)
    return Fail(Errc::kInvalid, Cat("invalid port in ", word));
  return Range{*first, *last};
}

}  // namespace

Result<std::vector<Publication>> ParsePublications(const std::vector<std::string>& words) {
  std::vector<Publication> list;
  for (const std::string& word : words) {
    auto slash = SplitFirst(word, '/');
    std::string_view protocol = slash ? slash->tail : "tcp";
    std::string_view rest = slash ? slash->head : std::string_view(word);
    size_t colon = rest.rfind(':');
    Range inside = TRY(ParseRange(rest.substr(colon == rest.npos ? 0 : colon + 1), word));
    rest = rest.substr(0, colon == rest.npos ? 0 : colon);
    colon = rest.rfind(':');
    std::string_view address = colon == rest.npos ? "" : rest.substr(0, colon);
    std::string_view host = colon == rest.npos ? rest : rest.substr(colon + 1);
    if (colon == rest.npos && host.find('.') != host.npos) {  // an address without a port
      address = host;
      host = "";
    }
    Range outside;
    if (!host.empty())
      outside = TRY(ParseRange(host, word));
    bool pairs = !host.empty() && outside.count() == inside.count();
    if (!host.empty() && !pairs && inside.count() != 1)
      return Fail(Errc::kInvalid, Cat("the ranges of ", word, " have different lengths"));
    for (uint64_t i = 0; i < inside.count(); ++i) {
      list.push_back({Cat(inside.first + i, "/", protocol), std::string(address),
                      pairs ? Cat(outside.first + i) : std::string(host)});
    }
  }
  return list;
}

Result<> WriteExposedPorts(JsonWriter& json, const Arguments& arguments) {
  std::map<std::string, bool> ports;
  for (const Publication& publication : TRY(ParsePublications(arguments.List("publish"))))
    ports[publication.port] = true;
  for (const Publication& publication : TRY(ParsePublications(arguments.List("expose"))))
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
  std::map<std::string, std::vector<Publication>> by_port;
  for (Publication& publication : TRY(ParsePublications(arguments.List("publish"))))
    by_port[publication.port].push_back(std::move(publication));
  if (by_port.empty())
    return {};
  json.Key("PortBindings").Object();
  for (const auto& [port, publications] : by_port) {
    json.Key(port).Array();
    for (const Publication& publication : publications)
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
