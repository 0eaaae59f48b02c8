// When a release that is ready may take the place of the one that runs. Plain data and pure
// functions; docs/releases.md, "When it begins", has the format.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/spec_reader.h"

namespace wherry::ota {

// A part of each of some days, in the device's local time. One that is past midnight belongs to
// the day on which it begins.
struct Window {
  std::chrono::minutes from{0};  // of the day
  std::chrono::minutes length{0};
  uint8_t days = 0x7F;  // bit 0 is Sunday

  // "02:00-04:30", "sat,sun 22:00-06:00".
  static Result<Window> Parse(std::string_view text);
};

struct Policy {
  enum class Start : uint8_t {
    kAuto,   // as soon as a window is open and no app holds its lock
    kHold,   // when somebody says so
    kForce,  // at once
  };
  Start start = Start::kAuto;
  std::vector<Window> windows;       // none: always
  std::chrono::seconds patience{0};  // after so long a wait: at once. 0: never

  // kInvalid naming the member. Absent: the default.
  static Result<Policy> Parse(const oci::Field& field);
};

bool IsOpen(std::span<const Window> windows, const std::tm& local);

}  // namespace wherry::ota
