// The terminal wherry runs on: raw mode for attached containers, its size, and whether there is
// one.
#pragma once

#include <termios.h>

#include <cstdint>

namespace wherry::cli {

bool IsTerminal(int fd);

struct TerminalSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
};
// Zero rows: not a terminal.
TerminalSize SizeOfTerminal(int fd);

// Raw mode (no echo, no line editing, no signals from keys) while the object lives.
class RawMode {
 public:
  explicit RawMode(int fd);
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  int fd_;
  bool active_ = false;
  termios saved_{};
};

}  // namespace wherry::cli
