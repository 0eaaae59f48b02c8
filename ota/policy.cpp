#include "ota/policy.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace wherry::ota {

namespace {

using std::chrono::minutes;

constexpr std::array<std::string_view, 7> kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr minutes kDay{24 * 60};
constexpr int64_t kMaxPatience = 365LL * 24 * 3600;
constexpr std::array<std::string_view, 3> kStarts = {"auto", "hold", "force"};  // as Policy::Start

// "02:30"; "24:00" is the end of the day.
Result<minutes> ParseTime(std::string_view text) {
  auto colon = text.find(':');
  if (colon == 2 && text.size() == 5) {
    auto hour = ParseUint(text.substr(0, colon));
    auto minute = ParseUint(text.substr(colon + 1));
    if (hour && minute && *minute < 60 && *hour * 60 + *minute <= 24 * 60)
      return minutes(static_cast<int64_t>(*hour * 60 + *minute));
  }
  return Fail(Errc::kInvalid, Cat("\"", text, "\" is no time of day (HH:MM)"));
}

Result<uint8_t> ParseDays(std::string_view text) {
  uint8_t days = 0;
  for (std::string_view name : Split(text, ',')) {
    auto found = std::ranges::find(kDays, name);
    if (found == kDays.end())
      return Fail(Errc::kInvalid, Cat("\"", name, "\" is no day (sun mon tue wed thu fri sat)"));
    days |= static_cast<uint8_t>(1U << (found - kDays.begin()));
  }
  return days;
}

}  // namespace

Result<Window> Window::Parse(std::string_view text) {
  Window window;
  if (auto space = text.find(' '); space != std::string_view::npos) {
    window.days = TRY(ParseDays(text.substr(0, space)));
    text.remove_prefix(space + 1);
  }
  auto dash = text.find('-');
  if (dash == std::string_view::npos)
    return Fail(Errc::kInvalid, Cat("\"", text, "\" is no window ([DAY,...] HH:MM-HH:MM)"));
  window.from = TRY(ParseTime(text.substr(0, dash)));
  minutes until = TRY(ParseTime(text.substr(dash + 1)));
  if (window.from == until || window.from == kDay)
    return Fail(Errc::kInvalid, Cat("\"", text, "\" is no window: it is empty"));
  window.length = until > window.from ? until - window.from : until + kDay - window.from;
  return window;
}

Result<Policy> Policy::Parse(const oci::Field& field) {
  TRY(field.ExpectKnown(std::array<std::string_view, 3>{"start", "windows", "patience_s"}));
  Policy policy;
  if (oci::Field start = field["start"]) {
    std::string name = TRY(start.Text());
    auto found = std::ranges::find(kStarts, name);
    if (found == kStarts.end())
      return start.Bad("must be auto, hold or force");
    policy.start = static_cast<Start>(found - kStarts.begin());
  }
  for (const std::string& text : TRY(field["windows"].Texts())) {
    Window window = TRY_CTX(field["windows"].name(), Window::Parse(text));
    policy.windows.push_back(window);
  }
  int64_t patience = 0;
  TRY(field["patience_s"].Store(patience, 1, kMaxPatience));
  policy.patience = std::chrono::seconds(patience);
  return policy;
}

bool IsOpen(std::span<const Window> windows, const std::tm& local) {
  minutes now{local.tm_hour * 60 + local.tm_min};
  auto on = [&](const Window& window, int day) { return (window.days >> (day % 7) & 1) != 0; };
  return windows.empty() || std::ranges::any_of(windows, [&](const Window& window) {
           if (now >= window.from)
             return on(window, local.tm_wday) && now < window.from + window.length;
           return on(window, local.tm_wday + 6) && now + kDay < window.from + window.length;
         });
}

}  // namespace wherry::ota
