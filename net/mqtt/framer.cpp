#include "net/mqtt/framer.h"

#include "net/mqtt/wire.h"

namespace wherry::mqtt {

Result<size_t> Framer::Measure(std::string_view bytes, size_t& head) const {
  size_t length_bytes = 1;
  while (length_bytes < 5 && length_bytes < bytes.size() &&
         (static_cast<unsigned char>(bytes[length_bytes]) & 0x80) != 0)
    ++length_bytes;
  if (length_bytes < 5 && length_bytes >= bytes.size())
    return 0;
  WireReader in(bytes.substr(1, length_bytes));
  uint32_t length = TRY(in.Varint());
  head = 1 + length_bytes;
  size_t size = head + length;
  if (size > limit_)
    return PacketTooLarge(size, limit_);
  return size <= bytes.size() ? size : 0;
}

Result<> Framer::Feed(std::string_view bytes, const Use& use) {
  std::string joined;
  if (!held_.empty()) {
    held_ += bytes;
    joined.swap(held_);
    bytes = joined;
  }
  while (!bytes.empty()) {
    size_t head = 0;
    size_t size = TRY(Measure(bytes, head));
    if (size == 0)
      break;
    TRY(use(static_cast<uint8_t>(bytes[0]), bytes.substr(head, size - head)));
    bytes.remove_prefix(size);
  }
  held_ = bytes;
  return {};
}

}  // namespace wherry::mqtt
