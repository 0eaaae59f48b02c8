// What a broker sends: a stream of packets, of either version.
#include <cstdint>

#include "net/mqtt/framer.h"
#include "net/mqtt/packet.h"
#include "net/mqtt/server_reference.h"

using namespace wherry::mqtt;

namespace {

// A message that was understood is understood again after it was encoded.
void CheckAgain(Version version, const Publish& packet) {
  std::string bytes = Encode(version, packet);
  Framer framer(bytes.size());
  int packets = 0;
  auto fed = framer.Feed(bytes, [&](uint8_t first, std::string_view body) -> wherry::Result<> {
    auto again = Decode(version, first, body);
    if (!again || !std::holds_alternative<Publish>(*again))
      __builtin_trap();
    const Publish& second = std::get<Publish>(*again);
    if (second.topic != packet.topic || second.payload != packet.payload || second.id != packet.id)
      __builtin_trap();
    ++packets;
    return {};
  });
  if (!fed || packets != 1)
    __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const void* bytes = data;
  std::string_view input(static_cast<const char*>(bytes), size);
  for (Version version : {Version::k311, Version::k5}) {
    Framer framer(4096);
    auto use = [version](uint8_t first, std::string_view body) -> wherry::Result<> {
      auto packet = Decode(version, first, body);
      if (!packet)
        return std::unexpected(std::move(packet).error());
      if (const auto* publish = std::get_if<Publish>(&*packet))
        CheckAgain(version, *publish);
      return {};
    };
    // In two pieces, as a stream comes.
    if (framer.Feed(input.substr(0, size / 2), use))
      (void)framer.Feed(input.substr(size / 2), use);
  }
  (void)ParseServerReference(input, 8883);
  return 0;
}
