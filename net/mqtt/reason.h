// Reason codes of MQTT 5.0 (2.4) in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace wherry::mqtt {

// "not authorized", with what a person can do where that is known.
std::string_view ReasonText(uint8_t reason);

// 0x80 and above: a failure.
inline bool IsFailure(uint8_t reason) {
  return reason >= 0x80;
}

// "broker:8883 refused the publication to a/b: not authorized ...". `detail` is the server's own
// reason string, shown when it is printable.
Error ReasonError(std::string_view what, uint8_t reason, std::string_view detail);

}  // namespace wherry::mqtt
