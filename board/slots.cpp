#include "board/slots.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "board/tryboot.h"
#include "board/uboot_control.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

constexpr const char* kFirmwarePartition = "/proc/device-tree/chosen/bootloader/partition";

Result<uint64_t> PartitionNumber(const std::string& device) {
  struct stat info{};
  if (stat(device.c_str(), &info) != 0)
    return FailSys("stat", device);
  std::string text = TRY(ReadFile(
      Cat("/sys/dev/block/", major(info.st_rdev), ":", minor(info.st_rdev), "/partition")));
  return ParseUint(Trim(text));
}

Result<std::array<uint64_t, 2>> Partitions(const SlotsConfig& config) {
  std::array<uint64_t, 2> numbers{};
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] =
        TRY_CTX(Cat(config.devices[i], " is no partition"), PartitionNumber(config.devices[i]));
  return numbers;
}

// What a command line or the root file system tells.
Result<Slot> BootedByKernel(const SlotsConfig& config) {
  std::string line = TRY(ReadFile("/proc/cmdline"));
  if (Result<Slot> slot = SlotOfCommandLine(line))
    return slot;
  struct stat root{};
  if (stat("/", &root) != 0)
    return FailSys("stat", "/");
  for (Slot slot : {Slot::kA, Slot::kB}) {
    struct stat info{};
    if (stat(config.devices[static_cast<size_t>(slot)].c_str(), &info) == 0 &&
        S_ISBLK(info.st_mode) && info.st_rdev == root.st_dev)
      return slot;
  }
  return Fail(Errc::kNotFound,
              "cannot tell which slot runs: neither is the root file system, and the kernel's "
              "command line has no wherry.slot=A or wherry.slot=B");
}

Result<Slot> BootedByFirmware(const SlotsConfig& config) {
  std::string bytes = TRY_CTX("which slot runs", ReadFile(kFirmwarePartition));
  uint64_t number = 0;
  for (char byte : bytes)
    number = number << 8 | static_cast<uint8_t>(byte);
  std::array<uint64_t, 2> partitions = TRY(Partitions(config));
  auto found = std::ranges::find(partitions, number);
  if (found == partitions.end())
    return Fail(Errc::kNotFound,
                Cat("the firmware booted partition ", number, ", which is no slot"));
  return found == partitions.begin() ? Slot::kA : Slot::kB;
}

Result<std::unique_ptr<BootControl>> OpenFirmware(const SlotsConfig& config) {
  std::array<uint64_t, 2> partitions = TRY(Partitions(config));
  return OpenTryboot(config.autoboot, partitions);
}

// A new kind of board is a row here.
struct Kind {
  std::string_view name;
  Result<Slot> (*booted)(const SlotsConfig& config);
  Result<std::unique_ptr<BootControl>> (*open)(const SlotsConfig& config);
};
constexpr Kind kKinds[] = {
    {"none", nullptr, nullptr},
    {"uboot", BootedByKernel, OpenBootOrder},
    {"uboot-bootcount", BootedByKernel, OpenBootCount},
    {"tryboot", BootedByFirmware, OpenFirmware},
};

// Two block devices, and not the same one.
Result<> CheckDevices(const SlotsConfig& config) {
  std::array<dev_t, 2> numbers{};
  for (size_t i = 0; i < numbers.size(); ++i) {
    struct stat info{};
    if (stat(config.devices[i].c_str(), &info) != 0)
      return FailSys("stat", config.devices[i]);
    if (!S_ISBLK(info.st_mode))
      return Fail(Errc::kInvalid, Cat(config.devices[i], " is no block device"));
    numbers[i] = info.st_rdev;
  }
  if (numbers[0] == numbers[1])
    return Fail(Errc::kInvalid, "slot-a and slot-b are the same device");
  return {};
}

}  // namespace

bool IsKind(std::string_view kind) {
  return std::ranges::find(kKinds, kind, &Kind::name) != std::end(kKinds);
}

std::string KindNames() {
  std::string names;
  for (const Kind& kind : kKinds)
    Append(names, names.empty() ? "" : ", ", kind.name);
  return names;
}

Result<Slot> SlotOfCommandLine(std::string_view command_line) {
  for (std::string_view option : Split(Trim(command_line), ' ')) {
    auto pair = SplitFirst(option, '=');
    if (pair && (pair->head == "wherry.slot" || pair->head == "rauc.slot")) {
      if (pair->tail == "A")
        return Slot::kA;
      if (pair->tail == "B")
        return Slot::kB;
    }
  }
  return Fail(Errc::kNotFound, "the kernel's command line names no slot");
}

Result<std::unique_ptr<Slots>> Slots::Open(const SlotsConfig& config) {
  auto kind = std::ranges::find(kKinds, config.kind, &Kind::name);
  if (kind == std::end(kKinds))
    return Fail(Errc::kUnsupported, Cat("slots ", config.kind, " are not known"));
  if (kind->open == nullptr)
    return nullptr;
  TRY(CheckDevices(config));
  Slot booted = TRY(kind->booted(config));
  std::unique_ptr<BootControl> control = TRY(kind->open(config));
  return std::unique_ptr<Slots>(new Slots(config, booted, std::move(control)));
}

}  // namespace wherry::board
