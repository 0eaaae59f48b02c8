#include "board/fat.h"

#include <unistd.h>

#include <optional>
#include <string>

#include "core/base/text.h"

namespace wherry::board {

namespace {

constexpr uint32_t kEntry = 32;
constexpr uint8_t kVolumeOrDirectory = 0x18;
constexpr uint32_t kFirstFat32Cluster = 65525;
constexpr uint32_t kEndOfChain = 0x0ffffff8;
constexpr int kMaxRootClusters = 1024;

Result<std::string> ReadAt(int file, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  ssize_t count = pread(file, bytes.data(), size, static_cast<off_t>(offset));
  if (count < 0)
    return FailSys("pread");
  if (static_cast<size_t>(count) != size)
    return Fail(Errc::kInvalid, "ends too early for a FAT file system");
  return bytes;
}

uint32_t Number(std::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

struct Layout {
  uint32_t sector = 0;
  uint32_t cluster = 0;  // bytes
  uint64_t fat = 0;      // all: offsets in bytes
  uint64_t root = 0;
  uint32_t root_bytes = 0;    // 0 in FAT32, where the root is a chain of clusters
  uint32_t root_cluster = 0;  // in FAT32
  uint64_t data = 0;

  uint64_t ClusterAt(uint32_t number) const { return data + uint64_t{number - 2} * cluster; }
};

Result<Layout> ReadLayout(int file) {
  std::string boot = TRY(ReadAt(file, 0, kSector));
  Layout layout;
  layout.sector = Number(boot, 11, 2);
  uint32_t per_cluster = Number(boot, 13, 1);
  uint32_t reserved = Number(boot, 14, 2);
  uint32_t fats = Number(boot, 16, 1);
  uint32_t entries = Number(boot, 17, 2);
  uint32_t fat_sectors = Number(boot, 22, 2);
  uint32_t sectors = Number(boot, 19, 2);
  if (fat_sectors == 0)
    fat_sectors = Number(boot, 36, 4);
  if (sectors == 0)
    sectors = Number(boot, 32, 4);
  bool sane = Number(boot, 510, 2) == 0xaa55 && layout.sector == kSector && per_cluster != 0 &&
              reserved != 0 && fats != 0 && fat_sectors != 0;
  if (!sane)
    return Fail(Errc::kInvalid, "is no FAT file system with sectors of 512 bytes");
  layout.cluster = per_cluster * layout.sector;
  layout.fat = uint64_t{reserved} * layout.sector;
  layout.root = layout.fat + uint64_t{fats} * fat_sectors * layout.sector;
  layout.root_bytes = (entries * kEntry + layout.sector - 1) / layout.sector * layout.sector;
  layout.data = layout.root + layout.root_bytes;
  uint64_t clusters = (uint64_t{sectors} * layout.sector - layout.data) / layout.cluster;
  if (entries == 0 || clusters >= kFirstFat32Cluster)
    layout.root_cluster = Number(boot, 44, 4);
  return layout;
}

std::optional<FatFile> FindEntry(const Layout& layout, std::string_view directory,
                                 std::string_view name) {
  for (size_t at = 0; at + kEntry <= directory.size(); at += kEntry) {
    std::string_view entry = directory.substr(at, kEntry);
    if (entry.starts_with(name) && (static_cast<uint8_t>(entry[11]) & kVolumeOrDirectory) == 0) {
      uint32_t cluster = Number(entry, 20, 2) << 16 | Number(entry, 26, 2);
      if (cluster >= 2)
        return FatFile{layout.ClusterAt(cluster), Number(entry, 28, 4)};
    }
  }
  return std::nullopt;
}

}  // namespace

Result<FatFile> FindInFatRoot(int file, std::string_view name) {
  Layout layout = TRY(ReadLayout(file));
  if (layout.root_cluster == 0) {
    std::string root = TRY(ReadAt(file, layout.root, layout.root_bytes));
    if (auto found = FindEntry(layout, root, name))
      return *found;
  }
  uint32_t cluster = layout.root_cluster;
  for (int i = 0; i < kMaxRootClusters && cluster >= 2 && cluster < kEndOfChain; ++i) {
    std::string part = TRY(ReadAt(file, layout.ClusterAt(cluster), layout.cluster));
    if (auto found = FindEntry(layout, part, name))
      return *found;
    std::string next = TRY(ReadAt(file, layout.fat + uint64_t{cluster} * 4, 4));
    cluster = Number(next, 0, 4) & 0x0fffffff;
  }
  return Fail(Errc::kNotFound, Cat("has no file ", name, " in its root directory"));
}

}  // namespace wherry::board
