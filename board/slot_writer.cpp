#include "board/slot_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::board {

namespace {

// Compared and written at a time: flash erases in blocks of about this size.
constexpr size_t kBlock = 256 << 10;

// Exclusive: the kernel refuses a device that is mounted or otherwise in use.
Result<UniqueFd> OpenSlot(const std::string& device, const SlotImage& image, int flags) {
  struct stat info{};
  struct stat root{};
  if (stat(device.c_str(), &info) != 0)
    return FailSys("stat", device);
  if (stat("/", &root) != 0)
    return FailSys("stat", "/");
  bool is_block = S_ISBLK(info.st_mode);
  if (is_block && info.st_rdev == root.st_dev)
    return Fail(Errc::kBusy, Cat(device, " has the root file system that runs: it is not written"));
  UniqueFd file = TRY(Open(device, flags | (is_block ? O_EXCL : 0)));
  off_t end = lseek(file.get(), 0, SEEK_END);
  if (end < 0)
    return FailSys("lseek", device);
  if (static_cast<uint64_t>(end) < image.size)
    return Fail(Errc::kNoSpace,
                Cat(device, " has ", int64_t{end}, " bytes, and the image ", image.size));
  return file;
}

// Fills `out` but for the end of the source.
Result<size_t> ReadFull(ByteSource& source, std::span<std::byte> out) {
  size_t filled = 0;
  while (filled < out.size()) {
    size_t count = TRY(source.Read(out.subspan(filled)));
    if (count == 0)
      break;
    filled += count;
  }
  return filled;
}

Result<> ReadBlock(int file, std::span<std::byte> out, uint64_t at, const std::string& device) {
  ssize_t count = pread(file, out.data(), out.size(), static_cast<off_t>(at));
  if (count < 0)
    return FailSys("pread", device);
  if (static_cast<size_t>(count) != out.size())
    return Fail(Errc::kIo, Cat(device, ": read in part only"));
  return {};
}

Result<> WriteBlock(int file, std::span<const std::byte> bytes, uint64_t at,
                    const std::string& device) {
  ssize_t count = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at));
  if (count < 0)
    return FailSys("pwrite", device);
  if (static_cast<size_t>(count) != bytes.size())
    return Fail(Errc::kIo, Cat(device, ": written in part only"));
  return {};
}

Result<> CheckCancelled(const std::atomic<bool>& cancelled) {
  if (cancelled)
    return Fail(Errc::kCancelled, "writing the slot was cancelled");
  return {};
}

Result<Digest> HashFront(int file, uint64_t size, const std::string& device,
                         const std::atomic<bool>& cancelled) {
  // From the device, not from memory.
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  Hasher hasher;
  std::vector<std::byte> block(kBlock);
  for (uint64_t at = 0; at < size;) {
    TRY(CheckCancelled(cancelled));
    std::span<std::byte> part(block.data(),
                              static_cast<size_t>(std::min<uint64_t>(kBlock, size - at)));
    TRY(ReadBlock(file, part, at, device));
    hasher.Update(part);
    at += part.size();
  }
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  return hasher.Finish();
}

Result<Digest> Copy(int file, ByteSource& source, const SlotImage& image, const std::string& device,
                    const std::atomic<bool>& cancelled) {
  Hasher hasher;
  std::vector<std::byte> fresh(kBlock);
  std::vector<std::byte> old(kBlock);
  for (uint64_t at = 0;;) {
    TRY(CheckCancelled(cancelled));
    std::span<std::byte> part(fresh.data(), TRY(ReadFull(source, fresh)));
    if (part.empty() && at == image.size)
      return hasher.Finish();
    if (part.empty() || part.size() > image.size - at)
      return Fail(Errc::kCorrupt, Cat("the image is ", part.empty() ? "shorter" : "longer",
                                      " than the ", image.size, " bytes the release says"));
    hasher.Update(part);
    std::span<std::byte> before(old.data(), part.size());
    TRY(ReadBlock(file, before, at, device));
    if (memcmp(before.data(), part.data(), part.size()) != 0)
      TRY(WriteBlock(file, part, at, device));
    at += part.size();
  }
}

}  // namespace

Result<bool> SlotHolds(const std::string& device, const SlotImage& image,
                       const std::atomic<bool>& cancelled) {
  UniqueFd file = TRY(OpenSlot(device, image, O_RDONLY));
  Digest found = TRY(HashFront(file.get(), image.size, device, cancelled));
  return found == image.digest;
}

Result<> WriteSlot(const std::string& device, ByteSource& source, const SlotImage& image,
                   const std::atomic<bool>& cancelled) {
  UniqueFd file = TRY(OpenSlot(device, image, O_RDWR));
  Digest came = TRY(Copy(file.get(), source, image, device, cancelled));
  if (came != image.digest)
    return Fail(Errc::kCorrupt, Cat("the image has the digest ", came.string(), ", not ",
                                    image.digest.string(), " as the release says"));
  if (fsync(file.get()) != 0)
    return FailSys("fsync", device);
  Digest back = TRY(HashFront(file.get(), image.size, device, cancelled));
  if (back != image.digest)
    return Fail(Errc::kIo, Cat(device,
                               ": cannot be read back as it was written; the device may be "
                               "failing"));
  return {};
}

}  // namespace wherry::board
