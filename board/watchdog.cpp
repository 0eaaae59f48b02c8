#include "board/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::board {

Result<Watchdog> Watchdog::Open(const std::string& device, std::chrono::seconds timeout) {
  auto opened = wherry::Open(device, O_WRONLY);
  if (!opened && opened.error().error_number() == EBUSY)
    return Fail(Errc::kBusy, Cat(device,
                                 " is petted by another program; there can be only one "
                                 "(systemd: RuntimeWatchdogSec=0)"));
  Watchdog watchdog(TRY(std::move(opened)));
  int seconds = static_cast<int>(timeout.count());
  int status = 0;
  if (ioctl(watchdog.file_.get(), static_cast<int>(WDIOC_GETBOOTSTATUS), &status) != 0)
    return Fail(Errc::kInvalid, Cat(device, " is no watchdog"));
  watchdog.did_reset_ = (status & WDIOF_CARDRESET) != 0;
  // A device with a timeout of its own keeps it.
  (void)ioctl(watchdog.file_.get(), static_cast<int>(WDIOC_SETTIMEOUT), &seconds);
  if (ioctl(watchdog.file_.get(), static_cast<int>(WDIOC_GETTIMEOUT), &seconds) != 0 ||
      seconds <= 0)
    seconds = static_cast<int>(timeout.count());
  watchdog.timeout_ = std::chrono::seconds(seconds);
  return watchdog;
}

Result<> Watchdog::Pet() {
  if (write(file_.get(), "", 1) != 1)
    return FailSys("write", "watchdog");
  return {};
}

void Watchdog::Stop() {
  (void)!write(file_.get(), "V", 1);
  file_.Reset();
}

}  // namespace wherry::board
