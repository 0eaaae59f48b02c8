#include "engine/container_signals.h"

#include <csignal>

#include "core/base/text.h"

namespace wherry::engine {

namespace {

struct SignalRow {
  std::string_view name;
  int number;
};

constexpr SignalRow kSignals[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
    {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGABRT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
    {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
    {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
};

// The kernel's range; the C library keeps the first two for itself.
constexpr int kRtMin = 34;
constexpr int kRtMax = 64;

Result<int> ParseRealTime(std::string_view name) {
  bool from_min = name.starts_with("RTMIN");
  int base = from_min ? kRtMin : kRtMax;
  std::string_view offset = name.substr(5);
  if (offset.empty())
    return base;
  if (offset[0] != (from_min ? '+' : '-'))
    return Fail(Errc::kInvalid, "bad offset");
  int distance = static_cast<int>(TRY(ParseUint(offset.substr(1))));
  int number = from_min ? base + distance : base - distance;
  if (number < kRtMin || number > kRtMax)
    return Fail(Errc::kInvalid, "out of range");
  return number;
}

Result<int> Lookup(std::string_view name) {
  for (const SignalRow& row : kSignals) {
    if (EqualsIgnoreCase(row.name, name))
      return row.number;
  }
  return Fail(Errc::kInvalid, "unknown");
}

}  // namespace

Result<int> ParseSignal(std::string_view text) {
  std::string name = ToLower(text);
  for (char& c : name)
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  std::string_view bare = name;
  if (bare.starts_with("SIG"))
    bare.remove_prefix(3);
  auto number = ParseUint(text);
  if (number) {
    if (*number >= 1 && *number <= kRtMax)
      return static_cast<int>(*number);
  } else {
    auto found =
        bare.starts_with("RTMIN") || bare.starts_with("RTMAX") ? ParseRealTime(bare) : Lookup(bare);
    if (found)
      return *found;
  }
  return Fail(Errc::kInvalid, Cat("Invalid signal: ", text));
}

std::string SignalName(int number) {
  for (const SignalRow& row : kSignals) {
    if (row.number == number)
      return Cat("SIG", row.name);
  }
  return Cat("SIG", number);
}

}  // namespace wherry::engine
