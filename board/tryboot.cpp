#include "board/tryboot.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "board/fat.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

constexpr std::string_view kName = "AUTOBOOTTXT";  // as FAT has it
constexpr std::string_view kKey = "boot_partition=";

// Where the number of a section stands in the text.
struct Number {
  size_t at = 0;
  size_t length = 0;
  uint64_t value = 0;
};

Result<Number> FindNumber(std::string_view text, std::string_view section) {
  size_t begin = text.find(section);
  if (begin != std::string_view::npos) {
    begin += section.size();
    size_t end = std::min(text.find('[', begin), text.size());
    size_t key = text.substr(0, end).find(kKey, begin);
    if (key != std::string_view::npos) {
      Number number{.at = key + kKey.size()};
      size_t stop = std::min(text.find_first_not_of("0123456789", number.at), text.size());
      number.length = stop - number.at;
      number.value = TRY_CTX("autoboot.txt", ParseUint(text.substr(number.at, number.length)));
      return number;
    }
  }
  return Fail(Errc::kInvalid, Cat("autoboot.txt has no ", kKey, "N under ", section));
}

class Tryboot final : public BootControl {
 public:
  Tryboot(std::string device, const std::array<uint64_t, 2>& partitions)
      : device_(std::move(device)), partitions_(partitions) {}

  Result<Slot> Next() override { return Named(TRY(Read()), "[all]"); }

  // The firmware's flag is set by the restart itself. What is checked is that the file would lead
  // there, and back.
  Result<> Arm(Slot slot) override {
    Found found = TRY(Read());
    Slot all = TRY(Named(found, "[all]"));
    Slot trial = TRY(Named(found, "[tryboot]"));
    if (all == slot || trial != slot)
      return Fail(Errc::kConflict, Cat(device_, ": autoboot.txt does not have slot ", Letter(slot),
                                       " under [tryboot] and the other one under [all]"));
    return {};
  }

  Result<> Commit(Slot slot, TheOther /*other*/) override {
    Found found = TRY(Read());
    Slot all = TRY(Named(found, "[all]"));
    Slot trial = TRY(Named(found, "[tryboot]"));
    if (all == slot && trial == Other(slot))
      return {};
    if (all == trial)
      return Fail(Errc::kInvalid,
                  Cat(device_, ": autoboot.txt names slot ", Letter(all), " twice"));
    Number first = TRY(FindNumber(found.text, "[all]"));
    Number second = TRY(FindNumber(found.text, "[tryboot]"));
    if (first.length != second.length)
      return Fail(Errc::kUnsupported,
                  Cat(device_, ": the partition numbers in autoboot.txt must have as many digits"));
    std::swap_ranges(found.text.begin() + static_cast<ptrdiff_t>(first.at),
                     found.text.begin() + static_cast<ptrdiff_t>(first.at + first.length),
                     found.text.begin() + static_cast<ptrdiff_t>(second.at));
    return Write(found);
  }

  std::string_view RestartArgument() const override { return "0 tryboot"; }

 private:
  struct Found {
    uint64_t offset = 0;
    std::string text;  // of the file
  };

  Result<Found> Read() {
    UniqueFd file = TRY(Open(device_, O_RDONLY));
    FatFile place = TRY_CTX(device_, FindInFatRoot(file.get(), kName));
    if (place.size > kSector)
      return Fail(Errc::kUnsupported, Cat(device_, ": autoboot.txt is longer than a sector"));
    Found found{place.offset, std::string(place.size, '\0')};
    if (pread(file.get(), found.text.data(), found.text.size(), static_cast<off_t>(place.offset)) !=
        static_cast<ssize_t>(found.text.size()))
      return FailSys("pread", device_);
    return found;
  }

  Result<Slot> Named(const Found& found, std::string_view section) {
    Number number = TRY_CTX(device_, FindNumber(found.text, section));
    auto slot = std::ranges::find(partitions_, number.value);
    if (slot == partitions_.end())
      return Fail(Errc::kInvalid, Cat(device_, ": autoboot.txt has partition ", number.value,
                                      " under ", section, ", which is no slot"));
    return slot == partitions_.begin() ? Slot::kA : Slot::kB;
  }

  // One sector in place, and read back.
  Result<> Write(const Found& found) {
    UniqueFd file = TRY(Open(device_, O_RDWR));
    if (pwrite(file.get(), found.text.data(), found.text.size(),
               static_cast<off_t>(found.offset)) != static_cast<ssize_t>(found.text.size()))
      return FailSys("pwrite", device_);
    if (fsync(file.get()) != 0)
      return FailSys("fsync", device_);
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (TRY(Read()).text != found.text)
      return Fail(Errc::kIo, Cat(device_, ": autoboot.txt cannot be read back as it was written"));
    return {};
  }

  std::string device_;
  std::array<uint64_t, 2> partitions_;
};

}  // namespace

Result<std::unique_ptr<BootControl>> OpenTryboot(const std::string& autoboot,
                                                 const std::array<uint64_t, 2>& partitions) {
  auto tryboot = std::make_unique<Tryboot>(autoboot, partitions);
  TRY(tryboot->Next());  // now, not in the middle of an update
  return tryboot;
}

}  // namespace wherry::board
