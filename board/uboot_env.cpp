#include "board/uboot_env.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

constexpr size_t kMaxSize = 1 << 20;
constexpr size_t kMinSize = 64;
// fw_printenv of U-Boot takes the one or the other, depending on its age; libubootenv the first.
constexpr std::array<const char*, 2> kLocks = {"/var/lock/fw_printenv.lock",
                                               "/run/fw_printenv.lock"};
constexpr uint32_t kLockMode = 0644;
constexpr int kLockTries = 500;
constexpr std::chrono::milliseconds kLockPeriod{10};

struct Locked {
  std::array<UniqueFd, kLocks.size()> files;
};

Result<Locked> Lock() {
  Locked locked;
  for (size_t i = 0; i < kLocks.size(); ++i) {
    auto file = Open(kLocks[i], O_RDWR | O_CREAT | O_NOFOLLOW, kLockMode);
    if (!file && file.error().code() == Errc::kNotFound)
      continue;  // nobody can hold a lock in a directory that is not there
    locked.files[i] = TRY(std::move(file));
    for (int left = kLockTries; flock(locked.files[i].get(), LOCK_EX | LOCK_NB) != 0; --left) {
      if (errno != EWOULDBLOCK && errno != EINTR)
        return FailSys("flock", kLocks[i]);
      if (left == 0)
        return Fail(Errc::kBusy, Cat("U-Boot's environment is locked by another program (",
                                     kLocks[i], "); try again when it has ended"));
      std::this_thread::sleep_for(kLockPeriod);
    }
  }
  return locked;
}

// As the tools read it: an offset like strtoll with base 0, a size always hexadecimal.
enum class NumberIs : uint8_t { kAny, kHex };
Result<int64_t> ParseNumber(std::string_view text, NumberIs is) {
  bool negative = text.starts_with('-');
  if (negative)
    text.remove_prefix(1);
  int base = is == NumberIs::kHex ? 16 : 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (base == 10 && text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || text[0] == '-' || error != std::errc() || end != text.data() + text.size())
    return Fail(Errc::kInvalid, Cat("\"", text, "\" is no number"));
  return negative ? -value : value;
}

Result<off_t> StartOf(int file, int64_t offset, size_t size, const std::string& name) {
  off_t end = lseek(file, 0, SEEK_END);
  if (end < 0)
    return FailSys("lseek", name);
  int64_t start = offset < 0 ? int64_t{end} + offset : offset;
  if (start < 0 || start + static_cast<int64_t>(size) > int64_t{end})
    return Fail(Errc::kInvalid,
                Cat(name, ": ends before U-Boot's environment at offset ", offset, " would"));
  return static_cast<off_t>(start);
}

// Boot partitions of eMMC are read-only until this is said.
void ForceReadOnly(const std::string& device, bool read_only) {
  std::string name = SplitPath(device).name;
  if (name.starts_with("mmcblk") && name.find("boot") != std::string::npos)
    (void)WriteExisting(Cat("/sys/block/", name, "/force_ro"), read_only ? "1" : "0");
}

UbootEnv::Variables Decode(std::string_view data) {
  UbootEnv::Variables variables;
  for (std::string_view entry : Split(data, '\0')) {
    if (entry.empty())
      break;
    if (auto pair = SplitFirst(entry, '='))
      variables.insert_or_assign(std::string(pair->head), std::string(pair->tail));
  }
  return variables;
}

std::string Encode(const UbootEnv::Variables& variables) {
  std::string data;
  for (const auto& [name, value] : variables)
    Append(data, name, "=", value, '\0');
  data += '\0';
  return data;
}

}  // namespace

Result<UbootEnv::Place> UbootEnv::ParseLine(std::string_view line) {
  std::vector<std::string_view> words;
  std::string spaces(line);
  std::ranges::replace(spaces, '\t', ' ');
  for (std::string_view word : Split(spaces, ' ')) {
    if (!word.empty())
      words.push_back(word);
  }
  if (words.size() < 3)
    return Fail(Errc::kInvalid, "must have device, offset and size");
  Place place;
  place.device = words[0];
  if (place.device.starts_with("/dev/mtd") || place.device.starts_with("/dev/ubi"))
    return Fail(Errc::kUnsupported,
                Cat(place.device,
                    " is raw flash, which is not supported: keep the environment on a "
                    "block device or in a file"));
  place.offset = TRY_CTX("offset", ParseNumber(words[1], NumberIs::kAny));
  int64_t size = TRY_CTX("size", ParseNumber(words[2], NumberIs::kHex));
  if (size < static_cast<int64_t>(kMinSize) || size > static_cast<int64_t>(kMaxSize))
    return Fail(Errc::kInvalid, Cat("size must be between ", kMinSize, " and ", kMaxSize));
  place.size = static_cast<size_t>(size);
  return place;
}

Result<UbootEnv> UbootEnv::Open(const std::string& config_file) {
  std::string text = TRY(ReadFile(config_file));
  std::vector<Place> places;
  int number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    line = Trim(line);
    if (line.empty() || line[0] == '#')
      continue;
    Place place = TRY_CTX(Cat(config_file, ":", number), ParseLine(line));
    places.push_back(std::move(place));
  }
  if (places.empty() || places.size() > 2)
    return Fail(Errc::kInvalid, Cat(config_file, " names ", places.size(),
                                    " copies of U-Boot's environment; there are one or two"));
  if (places.size() == 2) {
    const Place& first = places[0];
    const Place& second = places[1];
    if (first.size != second.size)
      return Fail(Errc::kInvalid, Cat(config_file, ": both copies must have the same size"));
    if (first.device == second.device && (first.offset < 0) == (second.offset < 0) &&
        std::abs(first.offset - second.offset) < static_cast<int64_t>(first.size))
      return Fail(Errc::kInvalid, Cat(config_file, ": the two copies overlap"));
  }
  return UbootEnv(std::move(places));
}

Result<std::optional<UbootEnv::Copy>> UbootEnv::ReadCopy(const Place& place) const {
  UniqueFd file = TRY(wherry::Open(place.device, O_RDONLY));
  off_t start = TRY(StartOf(file.get(), place.offset, place.size, place.device));
  // What was written is wanted, not what is in memory.
  posix_fadvise(file.get(), start, static_cast<off_t>(place.size), POSIX_FADV_DONTNEED);
  std::string bytes(place.size, '\0');
  ssize_t count = pread(file.get(), bytes.data(), bytes.size(), start);
  if (count < 0)
    return FailSys("pread", place.device);
  if (static_cast<size_t>(count) != bytes.size())
    return Fail(Errc::kIo, Cat(place.device, ": read in part only"));
  uint32_t stated = 0;
  memcpy(&stated, bytes.data(), sizeof stated);
  Copy copy;
  if (redundant())
    copy.flags = static_cast<uint8_t>(bytes[sizeof stated]);
  copy.data = bytes.substr(HeaderSize());
  auto sum = crc32(0, reinterpret_cast<const Bytef*>(copy.data.data()),
                   static_cast<uInt>(copy.data.size()));
  if (stated != static_cast<uint32_t>(sum))
    return std::nullopt;
  return copy;
}

Result<UbootEnv::Newest> UbootEnv::Choose() const {
  std::optional<Newest> newest;
  for (size_t i = 0; i < places_.size(); ++i) {
    std::optional<Copy> copy = TRY(ReadCopy(places_[i]));
    if (!copy)
      continue;
    // The larger flags win; 0 follows 255; of equal ones the first is taken, as U-Boot does.
    bool newer = !newest || (newest->copy.flags == UINT8_MAX && copy->flags == 0) ||
                 (copy->flags > newest->copy.flags &&
                  !(copy->flags == UINT8_MAX && newest->copy.flags == 0));
    if (newer)
      newest = Newest{i, *std::move(copy)};
  }
  if (!newest)
    return Fail(Errc::kCorrupt, Cat(places_[0].device,
                                    ": no copy of U-Boot's environment is valid; "
                                    "write it by U-Boot's saveenv"));
  return *std::move(newest);
}

Result<UbootEnv::Variables> UbootEnv::Read() const {
  Locked locked = TRY(Lock());
  Newest newest = TRY(Choose());
  return Decode(newest.copy.data);
}

Result<> UbootEnv::WriteCopy(const Place& place, const Copy& copy) const {
  std::string bytes(sizeof(uint32_t), '\0');
  auto sum = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(copy.data.data()),
                                         static_cast<uInt>(copy.data.size())));
  memcpy(bytes.data(), &sum, sizeof sum);
  if (redundant())
    bytes += static_cast<char>(copy.flags);
  bytes += copy.data;
  ForceReadOnly(place.device, false);
  ScopeExit protect([&] { ForceReadOnly(place.device, true); });
  UniqueFd file = TRY(wherry::Open(place.device, O_RDWR));
  off_t start = TRY(StartOf(file.get(), place.offset, place.size, place.device));
  ssize_t written = pwrite(file.get(), bytes.data(), bytes.size(), start);
  if (written < 0)
    return FailSys("pwrite", place.device);
  if (static_cast<size_t>(written) != bytes.size())
    return Fail(Errc::kIo, Cat(place.device, ": written in part only"));
  if (fsync(file.get()) != 0)
    return FailSys("fsync", place.device);
  return {};
}

Result<> UbootEnv::Store(std::span<const Setting> settings) const {
  Locked locked = TRY(Lock());
  Newest newest = TRY(Choose());
  Variables before = Decode(newest.copy.data);
  Variables after = before;
  for (const auto& [name, value] : settings) {
    if (value.empty())
      after.erase(std::string(name));
    else
      after.insert_or_assign(std::string(name), std::string(value));
  }
  if (after == before)
    return {};
  const Place& place = places_[redundant() ? 1 - newest.place : 0];
  Copy next{Encode(after), static_cast<uint8_t>(newest.copy.flags + 1)};
  size_t room = place.size - HeaderSize();
  if (next.data.size() > room)
    return Fail(Errc::kNoSpace, Cat("U-Boot's environment of ", room, " bytes is full"));
  next.data.resize(room);
  TRY(WriteCopy(place, next));
  std::optional<Copy> back = TRY(ReadCopy(place));
  if (!back || back->data != next.data)
    return Fail(Errc::kIo, Cat(place.device,
                               ": U-Boot's environment cannot be read back as it was "
                               "written; the device may be failing"));
  return {};
}

}  // namespace wherry::board
