#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace wherry::cli {

bool IsTerminal(int fd) {
  return isatty(fd) == 1;
}

TerminalSize SizeOfTerminal(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0)
    return {};
  return {size.ws_row, size.ws_col};
}

RawMode::RawMode(int fd) : fd_(fd) {
  if (tcgetattr(fd_, &saved_) != 0)
    return;
  termios raw = saved_;
  cfmakeraw(&raw);
  active_ = tcsetattr(fd_, TCSANOW, &raw) == 0;
}

RawMode::~RawMode() {
  if (active_)
    (void)tcsetattr(fd_, TCSADRAIN, &saved_);
}

}  // namespace wherry::cli
