#include "board/restart.h"

#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

// SIGRTMIN+5 as systemd's C library counts, whatever ours does: starts reboot.target.
constexpr int kSystemdReboot = 34 + 5;

}  // namespace

Result<> Restart(std::string_view argument, const std::string& directory) {
  if (PathExists("/run/systemd/system")) {
    if (!argument.empty())
      TRY(ReplaceFile("/run/systemd/reboot-param", argument, 0644, Durability::kVolatile));
    if (kill(1, kSystemdReboot) != 0)
      return FailSys("kill", "systemd");
    return {};
  }
  for (const std::string& path : {directory, std::string("/")}) {
    if (Result<UniqueFd> file = OpenDir(path))
      syncfs(file->get());
  }
  std::string text(argument);
  syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
          text.empty() ? LINUX_REBOOT_CMD_RESTART : LINUX_REBOOT_CMD_RESTART2, text.c_str());
  return FailSys("reboot");
}

std::string BootId() {
  std::string text = ReadFile("/proc/sys/kernel/random/boot_id").value_or("");
  return std::string(Trim(text));
}

}  // namespace wherry::board
