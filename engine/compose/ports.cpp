#include "engine/compose/ports.h"

#include "core/base/text.h"

namespace wherry::compose {

namespace {

constexpr uint64_t kMaxPorts = 1000;  // of one entry

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

struct LongPort {
  std::string target, published, address, protocol = "tcp", mode;
};

constexpr KeyRow<LongPort> kLongKeys[] = {
    {"app_protocol", [](const Value&, LongPort&) {}},
    {"host_ip", [](const Value& v, LongPort& out) { out.address = v.Text(); }},
    {"mode", [](const Value& v, LongPort& out) { out.mode = v.Text(); }},
    {"name", [](const Value&, LongPort&) {}},
    {"protocol", [](const Value& v, LongPort& out) { out.protocol = v.Text(); }},
    {"published", [](const Value& v, LongPort& out) { out.published = v.Text(); }},
    {"target", [](const Value& v, LongPort& out) { out.target = v.Text(); }},
};

std::string PortWord(const Value& value) {
  if (!value.IsMap())
    return value.Text();
  LongPort port;
  ReadKeys<LongPort>(value, kLongKeys, port);
  if (port.target.empty())
    value.Bad("needs a target");
  std::string word = Cat(port.target, "/", port.protocol);
  if (!port.published.empty() || !port.address.empty())
    word = Cat(port.published, ":", word);
  return port.address.empty() ? word : Cat(port.address, ":", word);
}

}  // namespace

Result<std::vector<Port>> ParsePorts(std::string_view word) {
  std::vector<Port> list;
  auto slash = SplitFirst(word, '/');
  std::string_view protocol = slash ? slash->tail : "tcp";
  std::string_view rest = slash ? slash->head : word;
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
  return list;
}

void ReadPorts(const Value& value, Service& service) {
  if (!value.ExpectList())
    return;
  for (size_t i = 0; i < value.size(); ++i) {
    Value element = value.Element(i);
    auto ports = ParsePorts(PortWord(element));
    if (!ports) {
      element.Bad(Cat("is not a published port: ", ports.error().message()));
      continue;
    }
    if (service.ports.size() + ports->size() > kMaxPorts) {
      element.Bad("publishes too many ports");
      return;
    }
    for (Port& port : *ports)
      service.ports.push_back(std::move(port));
  }
}

void ReadExpose(const Value& value, Service& service) {
  if (!value.ExpectList())
    return;
  for (size_t i = 0; i < value.size(); ++i) {
    std::string word = value.Element(i).Text();
    auto ports = ParsePorts(word);
    if (!ports || word.find(':') != word.npos || service.expose.size() > kMaxPorts) {
      value.Element(i).Bad("must be a port such as 80 or 80/udp");
      continue;
    }
    for (Port& port : *ports)
      service.expose.push_back(std::move(port.port));
  }
}

}  // namespace wherry::compose
