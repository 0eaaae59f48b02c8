// Answers on a connection of D-Bus, and annotations that become properties of a unit: any bytes.
#include <cstdint>
#include <string_view>

#include "core/runtime/systemd_properties.h"
#include "core/sys/dbus_message.h"

using namespace wherry;

namespace {

void ReadAnswer(std::string_view bytes) {
  if (bytes.size() < sys::kDbusStart)
    return;
  Result<size_t> size = sys::DbusMessageSize(bytes.substr(0, sys::kDbusStart));
  if (!size || *size > bytes.size())
    return;
  Result<sys::DbusMessage> message = sys::ParseDbusMessage(bytes.substr(0, *size));
  if (!message)
    return;
  sys::DbusReader body(message->body);
  for (char type : message->signature) {
    bool text = type == 's' || type == 'o' || type == 'g';
    if (text ? !body.Text(type) : !body.Number(type))
      break;
  }
  // What was read can be written, and is the same then.
  Result<sys::DbusMessage> again = sys::ParseDbusMessage(sys::BuildDbusMessage(*message));
  if (!again || again->member != message->member || again->body != message->body)
    __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ReadAnswer(bytes);
  auto annotated =
      runtime::AnnotatedProperties({{"org.systemd.property.TimeoutSec", std::string(bytes)}});
  if (annotated) {
    sys::DbusWriter out;
    for (const runtime::UnitProperty& property : *annotated)
      property.Write(out);
  }
  size_t space = bytes.find(' ');
  if (space != std::string_view::npos)
    (void)runtime::LimitProperties(std::vector<runtime::CgroupWrite>{
        {std::string(bytes.substr(0, space)), std::string(bytes.substr(space + 1))}});
  return 0;
}
