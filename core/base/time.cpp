#include "core/base/time.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <limits>
#include <optional>

#include "core/base/text.h"

namespace wherry {

namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::string_view kZeroTime = "0001-01-01T00:00:00Z";

void AppendPadded(std::string& out, int64_t value, size_t width) {
  std::string digits = Cat(value);
  out.append(width > digits.size() ? width - digits.size() : 0, '0').append(digits);
}

// Reads a text from the left; every step says whether it fitted.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool AtEnd() const { return rest_.empty(); }
  bool Next(char a, char b) {
    if (rest_.empty() || (rest_[0] != a && rest_[0] != b)) {
      return false;
    }
    last_ = rest_[0];
    rest_.remove_prefix(1);
    return true;
  }
  bool Next(char c) { return Next(c, c); }
  char last() const { return last_; }

  // Exactly `width` digits with a value in [low, high].
  bool Number(size_t width, int low, int high, int* out) {
    if (rest_.size() < width || !std::all_of(rest_.begin(), rest_.begin() + width, IsDigit)) {
      return false;
    }
    std::from_chars(rest_.data(), rest_.data() + width, *out);
    rest_.remove_prefix(width);
    return *out >= low && *out <= high;
  }

  // One or more digits after the point, in nanoseconds; digits beyond nine do not count.
  bool Fraction(int64_t* nanos) {
    size_t length = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    *nanos = 0;
    for (size_t i = 0; i < 9; ++i) {
      *nanos = *nanos * 10 + (i < length ? rest_[i] - '0' : 0);
    }
    rest_.remove_prefix(length);
    return length > 0;
  }

 private:
  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }

  std::string_view rest_;
  char last_ = 0;
};

struct Civil {
  int year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0;
  int64_t nanos = 0;
  int offset_minutes = 0;
};

// nullopt outside of the years int64 nanoseconds can hold (1677 to 2262) and for days that do not
// exist.
std::optional<int64_t> ToUnixNanos(const Civil& civil) {
  auto date = std::chrono::year(civil.year) / civil.month / civil.day;
  if (!date.ok()) {
    return std::nullopt;
  }
  int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  int64_t seconds =
      days * 86400 + civil.hour * 3600 + (civil.minute - civil.offset_minutes) * 60 + civil.second;
  constexpr int64_t kLimit = std::numeric_limits<int64_t>::max() / kNanosPerSecond - 1;
  if (seconds > kLimit || seconds < -kLimit) {
    return std::nullopt;
  }
  return seconds * kNanosPerSecond + civil.nanos;
}

bool ReadDate(Reader& reader, Civil* civil) {
  return reader.Number(4, 0, 9999, &civil->year) && reader.Next('-') &&
         reader.Number(2, 1, 12, &civil->month) && reader.Next('-') &&
         reader.Number(2, 1, 31, &civil->day);
}

// "T" was read. Seconds and minutes may only be left out in `lenient` texts.
bool ReadClock(Reader& reader, bool lenient, Civil* civil) {
  if (!reader.Number(2, 0, 23, &civil->hour)) {
    return false;
  }
  if (!reader.Next(':')) {
    return lenient;
  }
  if (!reader.Number(2, 0, 59, &civil->minute)) {
    return false;
  }
  if (!reader.Next(':')) {
    return lenient;
  }
  if (!reader.Number(2, 0, 60, &civil->second)) {  // 60: a leap second
    return false;
  }
  return !reader.Next('.', ',') || reader.Fraction(&civil->nanos);
}

bool ReadZone(Reader& reader, Civil* civil) {
  if (reader.Next('Z', 'z')) {
    return true;
  }
  int hours = 0;
  int minutes = 0;
  if (!reader.Next('+', '-')) {
    return false;
  }
  int sign = reader.last() == '-' ? -1 : 1;
  if (!reader.Number(2, 0, 23, &hours) || !reader.Next(':') || !reader.Number(2, 0, 59, &minutes)) {
    return false;
  }
  civil->offset_minutes = sign * (hours * 60 + minutes);
  return true;
}

std::optional<int64_t> ReadRfc3339(std::string_view text, bool lenient) {
  Reader reader(text);
  Civil civil;
  bool ok = ReadDate(reader, &civil);
  if (ok && reader.Next('T', 't')) {
    ok = ReadClock(reader, lenient, &civil);
  } else {
    ok = ok && lenient;
  }
  ok = ok && ((lenient && reader.AtEnd()) || ReadZone(reader, &civil)) && reader.AtEnd();
  return ok ? ToUnixNanos(civil) : std::nullopt;
}

// Unix seconds with an optional fraction.
std::optional<int64_t> ReadUnixSeconds(std::string_view text) {
  auto parts = SplitFirst(text, '.');
  auto seconds = ParseInt(parts ? parts->head : text);
  constexpr int64_t kLimit = std::numeric_limits<int64_t>::max() / kNanosPerSecond - 1;
  if (!seconds || *seconds > kLimit || *seconds < -kLimit) {
    return std::nullopt;
  }
  int64_t nanos = 0;
  if (parts) {
    Reader fraction(parts->tail);
    if (!fraction.Fraction(&nanos) || !fraction.AtEnd()) {
      return std::nullopt;
    }
  }
  return *seconds * kNanosPerSecond + nanos;
}

struct DurationUnit {
  std::string_view name;
  int64_t nanos;
};

constexpr DurationUnit kDurationUnits[] = {
    {"ns", 1},
    {"us", 1'000},
    {"\xC2\xB5s", 1'000},  // micro sign
    {"\xCE\xBCs", 1'000},  // Greek mu
    {"ms", 1'000'000},
    {"s", kNanosPerSecond},
    {"m", 60 * kNanosPerSecond},
    {"h", 3600 * kNanosPerSecond},
};

const DurationUnit* FindUnit(std::string_view name) {
  for (const DurationUnit& unit : kDurationUnits) {
    if (unit.name == name) {
      return &unit;
    }
  }
  return nullptr;
}

// One "1.5h" from the front of `text`; nullopt when malformed or too large.
std::optional<int64_t> TakeDurationPart(std::string_view& text) {
  constexpr std::string_view kDigits = "0123456789";
  size_t whole_end = std::min(text.find_first_not_of(kDigits), text.size());
  std::string_view whole = text.substr(0, whole_end);
  text.remove_prefix(whole_end);
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    size_t end = std::min(text.find_first_not_of(kDigits), text.size());
    fraction = text.substr(0, end);
    text.remove_prefix(end);
  }
  size_t unit_end = std::min(text.find_first_of("0123456789."), text.size());
  const DurationUnit* unit = FindUnit(text.substr(0, unit_end));
  text.remove_prefix(unit_end);
  if ((whole.empty() && fraction.empty()) || unit == nullptr) {
    return std::nullopt;
  }
  int64_t value = 0;
  int64_t nanos = 0;
  if (!whole.empty() &&
      std::from_chars(whole.data(), whole.data() + whole.size(), value).ec != std::errc{}) {
    return std::nullopt;
  }
  if (__builtin_mul_overflow(value, unit->nanos, &nanos)) {
    return std::nullopt;
  }
  int64_t scale = unit->nanos;
  for (char digit : fraction) {
    // At most 9/10 + 9/100 + ... of a unit: no overflow beyond one unit, checked below.
    nanos = __builtin_add_overflow(
                nanos, scale / 10 * (digit - '0') + scale % 10 * (digit - '0') / 10, &nanos)
                ? -1
                : nanos;
    if (nanos < 0) {
      return std::nullopt;
    }
    scale /= 10;
  }
  return nanos;
}

std::string Count(int64_t number, std::string_view unit) {
  return Cat(number, " ", unit, "s");
}

}  // namespace

int64_t UnixNanosNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
}

std::chrono::nanoseconds Uptime() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::string FormatRfc3339Nano(int64_t unix_nanos) {
  int64_t seconds = unix_nanos / kNanosPerSecond;
  int64_t nanos = unix_nanos % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  auto days = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day date(days);
  int64_t clock = (time - days).count();
  std::string out;
  out.reserve(30);
  AppendPadded(out, int{date.year()}, 4);
  AppendPadded(out += '-', unsigned{date.month()}, 2);
  AppendPadded(out += '-', unsigned{date.day()}, 2);
  AppendPadded(out += 'T', clock / 3600, 2);
  AppendPadded(out += ':', clock / 60 % 60, 2);
  AppendPadded(out += ':', clock % 60, 2);
  AppendPadded(out += '.', nanos, 9);
  return out += 'Z';
}

std::string FormatRfc3339NanoOrZero(int64_t unix_nanos) {
  return unix_nanos == 0 ? std::string(kZeroTime) : FormatRfc3339Nano(unix_nanos);
}

Result<int64_t> ParseRfc3339(std::string_view text) {
  if (text == kZeroTime) {
    return 0;
  }
  std::optional<int64_t> nanos = ReadRfc3339(text, /*lenient=*/false);
  if (!nanos) {
    return Fail(Errc::kInvalid, Cat("\"", text.substr(0, 64), "\" is not an RFC 3339 time"));
  }
  return *nanos;
}

Result<std::chrono::nanoseconds> ParseGoDuration(std::string_view text) {
  auto invalid = [&] {
    return Fail(Errc::kInvalid, Cat("\"", text.substr(0, 64),
                                    "\" is not a duration; write it as 500ms, 5s or 1h30m"));
  };
  std::string_view rest = text;
  bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) {
    rest.remove_prefix(1);
  }
  if (rest == "0") {
    return std::chrono::nanoseconds(0);
  }
  if (rest.empty()) {
    return invalid();
  }
  int64_t total = 0;
  while (!rest.empty()) {
    std::optional<int64_t> part = TakeDurationPart(rest);
    if (!part || __builtin_add_overflow(total, *part, &total)) {
      return invalid();
    }
  }
  return std::chrono::nanoseconds(negative ? -total : total);
}

Result<int64_t> ParseTimestamp(std::string_view text, int64_t now_unix_nanos) {
  if (text != "0") {
    if (auto duration = ParseGoDuration(text)) {
      int64_t time = 0;
      if (!__builtin_sub_overflow(now_unix_nanos, duration->count(), &time)) {
        return time;
      }
    }
  }
  if (text == kZeroTime) {
    return 0;
  }
  std::optional<int64_t> time = ReadUnixSeconds(text);
  if (!time) {
    time = ReadRfc3339(text, /*lenient=*/true);
  }
  if (!time) {
    return Fail(Errc::kInvalid,
                Cat("\"", text.substr(0, 64),
                    "\" is not a time; use unix seconds, RFC 3339 or a duration such as 10m"));
  }
  return *time;
}

std::string HumanDuration(std::chrono::nanoseconds duration) {
  // The thresholds and roundings of docker's go-units.
  int64_t seconds = std::max<int64_t>(duration.count() / kNanosPerSecond, 0);
  int64_t minutes = seconds / 60;
  int64_t hours = (seconds + 1800) / 3600;
  if (seconds < 1) {
    return "Less than a second";
  }
  if (seconds < 60) {
    return seconds == 1 ? "1 second" : Count(seconds, "second");
  }
  if (minutes < 60) {
    return minutes == 1 ? "About a minute" : Count(minutes, "minute");
  }
  if (hours < 48) {
    return hours == 1 ? "About an hour" : Count(hours, "hour");
  }
  if (hours < 24 * 7 * 2) {
    return Count(hours / 24, "day");
  }
  if (hours < 24 * 30 * 2) {
    return Count(hours / 24 / 7, "week");
  }
  if (hours < 24 * 365 * 2) {
    return Count(hours / 24 / 30, "month");
  }
  return Count(seconds / 3600 / 24 / 365, "year");
}

}  // namespace wherry
