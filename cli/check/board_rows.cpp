#include <errno.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <string>

#include "board/slots.h"
#include "board/uboot_env.h"
#include "cli/check/row.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "store/space.h"

namespace wherry::cli::check {

namespace {

using engine::Config;

constexpr std::string_view kTryboot = "/boot/firmware/autoboot.txt";

// The first line of a small file of sysfs or procfs; empty when it is not there.
std::string Line(const std::string& path) {
  Result<std::string> text = ReadFile(path);
  return text ? std::string(Trim(Split(*text, '\n')[0])) : std::string();
}

Finding DataFileSystem(const Row&, const Config& config) {
  std::string path = DataDirectory(config);
  Result<UniqueFd> dir = OpenDir(path);
  return dir ? From(store::CheckBacking(dir->get(), path), path) : Missing(dir.error());
}

Finding DataSpace(const Row&, const Config& config) {
  std::string path = DataDirectory(config);
  struct statvfs info{};
  if (statvfs(path.c_str(), &info) != 0)
    return Missing(Error::Sys(errno, "statvfs", path));
  uint64_t free = uint64_t{info.f_bavail} * info.f_frsize;
  uint64_t all = uint64_t{info.f_blocks} * info.f_frsize;
  std::string found = Cat(FormatSize(free), " of ", FormatSize(all), " are free");
  bool little = free < config.store.limits.reserve_bytes || free < all / 20;
  return little ? Missing(found) : There(found);
}

Finding Flash(const Row&, const Config& config) {
  std::string path = DataDirectory(config);
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return Missing(Error::Sys(errno, "stat", path));
  std::string disk = Cat("/sys/dev/block/", major(info.st_dev), ":", minor(info.st_dev));
  if (!PathExists(disk))
    return There("the data is on no block device");
  if (PathExists(disk + "/partition"))
    disk += "/..";
  std::string found = Line(disk + "/device/type");  // "MMC" or "SD"
  if (found.empty())
    found = Line(disk + "/queue/rotational") == "1" ? "turns" : "no moving parts";
  // "0x02 0x01": tenths of the life of both kinds of cells.
  std::string life = Line(disk + "/device/life_time");
  if (!life.empty())
    Append(found, ", life used in tenths: ", life);
  std::string spare = Line(disk + "/device/pre_eol_info");  // 0x02: four fifths of it are used
  bool worn = spare == "0x02" || spare == "0x03";
  return worn ? Missing(found + ", the spare blocks are nearly used up") : There(found);
}

Finding Clock(const Row&, const Config&) {
  constexpr int64_t kThisProgram = 1'735'689'600;  // 2025; a clock without battery begins before
  Result<int64_t> seconds = ParseInt(Line("/sys/class/rtc/rtc0/since_epoch"));
  if (!seconds)
    return Missing("no clock runs while the power is off");
  return *seconds > kThisProgram ? There(Line("/sys/class/rtc/rtc0/name"))
                                 : Missing("the clock has lost its time: is its battery empty?");
}

Finding Watchdog(const Row&, const Config& config) {
  std::string identity = Line("/sys/class/watchdog/watchdog0/identity");
  if (identity.empty() && !PathExists("/dev/watchdog"))
    return Missing("no watchdog device");
  Append(identity, identity.empty() ? "" : ", ",
         config.watchdog.empty() ? "not petted by wherry ([board] watchdog)" : config.watchdog);
  return There(identity);
}

Finding UbootSlots(const std::string& file) {
  auto environment = board::UbootEnv::Open(file);
  if (!environment)
    return Missing(environment.error());
  auto variables = environment->Read();
  if (!variables)
    return Missing(variables.error());
  return There(Cat("U-Boot's environment is readable, ",
                   environment->redundant() ? "in two copies" : "in one copy",
                   ", and not configured: slots = uboot"));
}

Finding BootSlots(const Row&, const Config& config) {
  if (config.slots.kind != "none") {
    auto slots = board::Slots::Open(config.slots);
    if (!slots)
      return Missing(slots.error());
    return There(Cat(config.slots.kind, ", slot ", Letter((*slots)->booted()), " runs"));
  }
  if (PathExists(config.slots.environment))
    return UbootSlots(config.slots.environment);
  if (PathExists(std::string(kTryboot)))
    return There(Cat(kTryboot, " is there, and not configured: slots = tryboot"));
  return Missing("neither U-Boot's environment nor tryboot was found");
}

Finding Randomness(const Row&, const Config&) {
  char byte = 0;
  return getrandom(&byte, 1, GRND_NONBLOCK) == 1 ? There("ready")
                                                 : Missing("the kernel has not gathered enough");
}

Finding RandomSource(const Row&, const Config&) {
  std::string source = Line("/sys/class/misc/hw_random/rng_current");
  return source.empty() || source == "none" ? Missing("none") : There(source);
}

constexpr Need kNeeded = Need::kNeeded;
constexpr Need kWanted = Need::kWanted;

// clang-format off
constexpr Row kRows[] = {
    {"data file system", kNeeded, "layers cannot be kept", "set 'root' in the configuration to a directory on another file system", DataFileSystem},
    {"data space", kWanted, "pulls are refused", "remove images (wherry rmi, wherry system prune) or other files", DataSpace},
    {"flash", kWanted, "data may be lost soon", "replace it", Flash},
    {"clock", kWanted, "after a power cut time goes on from when wherry last ran, until a server of time is reached",
     "a clock with a battery, or chrony or systemd-timesyncd", Clock},
    {"watchdog", kWanted, "a system that hangs stays so",
     "load the driver of the board (Raspberry Pi: dtparam=watchdog=on in /boot/firmware/config.txt), else softdog", Watchdog},
    {"boot slots", kWanted, "the operating system cannot be updated with a way back",
     "two slots with U-Boot and /etc/fw_env.config, or tryboot on a Raspberry Pi: docs/board.md", BootSlots},
    {"randomness", kNeeded, "keys and names cannot be made yet", "wait, or give the kernel a source: the row below", Randomness},
    {"random source", kWanted, "the first boot may wait for randomness", "load the driver of the board's generator (modprobe bcm2835-rng, virtio-rng)", RandomSource},
};
// clang-format on

}  // namespace

std::string DataDirectory(const Config& config) {
  std::string path = config.root;
  while (!PathExists(path))
    path = SplitPath(path).dir;
  return path;
}

std::span<const Row> BoardRows() {
  return kRows;
}

}  // namespace wherry::cli::check
