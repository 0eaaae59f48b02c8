#include "store/erofs_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "store/bytes.h"
#include "store/objects.h"

namespace wherry::store {

namespace {

// fs/erofs/erofs_fs.h of Linux. Everything is little endian.
constexpr uint32_t kMagic = 0xe0f5e1e2;
constexpr size_t kSuperOffset = 1024;
constexpr size_t kSuperSize = 128;
constexpr uint32_t kCompatMtime = 2;
constexpr size_t kBlockBits = 12;
constexpr size_t kBlock = size_t{1} << kBlockBits;
constexpr size_t kSlotBits = 5;
constexpr size_t kSlot = size_t{1} << kSlotBits;
constexpr size_t kInodeSize = 64;
constexpr size_t kDirentSize = 12;
constexpr size_t kXattrHeader = 12;
constexpr size_t kXattrEntry = 4;
constexpr uint64_t kMaxMetadata = uint64_t{1} << 36;
constexpr size_t kMaxGaps = 64;
constexpr size_t kFlushAt = size_t{64} << 10;

enum class Layout : uint16_t { kPlain = 0, kInline = 2, kChunks = 4 };
constexpr uint16_t kExtendedInode = 1;
constexpr uint32_t kNoBlock = 0xffffffff;  // a hole
constexpr size_t kMaxChunkBits = kBlockBits + 31;

struct XattrPrefix {
  std::string_view prefix;
  uint8_t index;
};
constexpr XattrPrefix kXattrPrefixes[] = {
    {"user.", 1},
    {"system.posix_acl_access", 2},
    {"system.posix_acl_default", 3},
    {"trusted.", 4},
    {"security.", 6},
};

template <class Integer>
constexpr Integer AlignUp(Integer value, Integer to) {
  return (value + to - 1) & ~(to - 1);
}

uint8_t DirentType(TarType type) {
  switch (type) {
    case TarType::kDirectory:
      return 2;
    case TarType::kCharDevice:
      return 3;
    case TarType::kBlockDevice:
      return 4;
    case TarType::kFifo:
      return 5;
    case TarType::kSymlink:
      return 7;
    default:
      return 1;
  }
}

uint32_t EncodeDevice(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | major << 8 | (minor & ~uint32_t{0xff}) << 12;
}

class ErofsWriter {
 public:
  ErofsWriter(const LayerTree& tree, int fd) : tree_(tree), fd_(fd), slots_(tree.inode_count()) {}

  Result<ErofsStats> Write() {
    Place();
    if (size() > kMaxMetadata)
      return Fail(Errc::kUnsupported, "the layer has too many files for a metadata image");
    AddSuperblock();
    for (const Item& item : items_)
      TRY(AddInode(item));
    Pad(AlignUp<uint64_t>(position_ + out_.size(), kBlock));
    for (const Item& item : items_) {
      if (item.blocks > 0)
        TRY(AddBlocks(item));
    }
    TRY(Flush());
    return ErofsStats{position_, items_.size()};
  }

 private:
  using Inode = LayerTree::Inode;
  using InodeId = LayerTree::InodeId;
  using NameId = LayerTree::NameId;

  struct Dirent {
    std::string_view name;
    InodeId inode;
  };

  // One inode where it will be.
  struct Item {
    InodeId inode;
    NameId name;     // of directories: where its children are
    InodeId parent;  // of directories
    Layout layout = Layout::kPlain;
    uint64_t at = 0;           // in bytes
    uint64_t size = 0;         // i_size
    uint32_t first_block = 0;  // among the data blocks
    uint32_t blocks = 0;
  };

  // What is left at the end of a block.
  struct Gap {
    uint64_t at = 0;
    size_t size = 0;
  };

  uint64_t size() const {
    return AlignUp<uint64_t>(meta_end_, kBlock) + uint64_t{data_blocks_} * kBlock;
  }

  // --- Where everything goes. Inodes in the order of the directories, breadth first, but for those
  // that fit into what earlier ones left of their blocks; then blocks.

  void Place() {
    meta_end_ = AlignUp<uint64_t>(kSuperOffset + kSuperSize, kSlot);
    std::deque<std::pair<NameId, InodeId>> directories = {{LayerTree::kRoot, RootInode()}};
    PlaceOne({RootInode(), LayerTree::kRoot, RootInode()});
    while (!directories.empty()) {
      auto [directory, parent] = directories.front();
      directories.pop_front();
      InodeId here = tree_.InodeOf(directory);
      for (NameId child : tree_.Children(directory)) {
        InodeId inode = tree_.InodeOf(child);
        if (slots_[inode] == 0)
          PlaceOne({inode, child, here});
        if (tree_.At(inode).type == TarType::kDirectory)
          directories.emplace_back(child, here);
      }
    }
    std::sort(items_.begin(), items_.end(),
              [](const Item& a, const Item& b) { return a.at < b.at; });
    for (Item& item : items_) {
      item.first_block = data_blocks_;
      data_blocks_ += item.blocks;
    }
  }

  InodeId RootInode() const { return tree_.InodeOf(LayerTree::kRoot); }

  void PlaceOne(Item item) {
    const Inode& inode = tree_.At(item.inode);
    item.size = inode.type == TarType::kDirectory ? DirectorySize(item) : inode.size;
    size_t head = kInodeSize + XattrSize(XattrsOf(inode));
    size_t tail = item.size % kBlock;
    if (inode.type == TarType::kRegular && inode.content == LayerTree::Content::kObject) {
      item.layout = Layout::kChunks;
      tail = sizeof(uint32_t);
    } else if (tail > 0 && head % kBlock + tail <= kBlock && head < kBlock) {
      item.layout = Layout::kInline;
      item.blocks = static_cast<uint32_t>(item.size / kBlock);
    } else {
      item.blocks = static_cast<uint32_t>(AlignUp<uint64_t>(item.size, kBlock) / kBlock);
      tail = 0;
    }
    // Neither an inode nor what is inline crosses a block, unless attributes are longer than one.
    item.at = Take(AlignUp<size_t>(head + tail, kSlot),
                   head + tail <= kBlock || item.layout == Layout::kInline);
    slots_[item.inode] = static_cast<uint32_t>(item.at >> kSlotBits);
    items_.push_back(item);
  }

  // `need` bytes, in multiples of slots; `whole`: within one block.
  uint64_t Take(size_t need, bool whole) {
    auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                            [&](const Gap& it) { return whole && it.size >= need; });
    if (gap != gaps_.end()) {
      gap->size -= need;
      return std::exchange(gap->at, gap->at + need);
    }
    size_t room = kBlock - meta_end_ % kBlock;
    if (whole && need > room) {
      if (gaps_.size() == kMaxGaps)
        gaps_.pop_front();
      gaps_.push_back({meta_end_, room});
      meta_end_ += room;
    }
    return std::exchange(meta_end_, meta_end_ + need);
  }

  // --- Directories: blocks of entries, each with its names behind them; sorted, "." included.

  std::vector<Dirent> Entries(const Item& item) const {
    std::vector<Dirent> entries = {{".", item.inode}, {"..", item.parent}};
    auto children = tree_.Children(item.name);
    entries.reserve(children.size() + 2);
    for (NameId child : children)
      entries.push_back({tree_.Name(child), tree_.InodeOf(child)});
    // Only names that begin with a character below '.' are out of place.
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Dirent& a, const Dirent& b) { return a.name < b.name; });
    return entries;
  }

  // The number of entries from `first` on that fit into a block, and the bytes they take.
  static std::pair<size_t, size_t> FillBlock(const std::vector<Dirent>& entries, size_t first) {
    size_t count = 0;
    size_t bytes = 0;
    while (first + count < entries.size()) {
      size_t more = kDirentSize + entries[first + count].name.size();
      if (bytes + more > kBlock)
        break;
      bytes += more;
      ++count;
    }
    return {count, bytes};
  }

  uint64_t DirectorySize(const Item& item) const {
    std::vector<Dirent> entries = Entries(item);
    uint64_t size = 0;
    for (size_t first = 0; first < entries.size();) {
      auto [count, bytes] = FillBlock(entries, first);
      first += count;
      size += first < entries.size() ? kBlock : bytes;
    }
    return size;
  }

  // All blocks but the last are padded.
  std::string DirectoryData(const Item& item) const {
    std::vector<Dirent> entries = Entries(item);
    std::string data;
    for (size_t first = 0; first < entries.size();) {
      auto [count, bytes] = FillBlock(entries, first);
      size_t name_at = count * kDirentSize;
      for (size_t i = first; i < first + count; ++i) {
        PutInt<uint64_t>(data, slots_[entries[i].inode]);
        PutInt<uint16_t>(data, static_cast<uint16_t>(name_at));
        PutInt<uint8_t>(data, DirentType(tree_.At(entries[i].inode).type));
        PutInt<uint8_t>(data, 0);
        name_at += entries[i].name.size();
      }
      for (size_t i = first; i < first + count; ++i)
        data += entries[i].name;
      first += count;
      if (first < entries.size())
        data.resize(AlignUp<size_t>(data.size(), kBlock));
    }
    return data;
  }

  std::string Data(const Item& item) const {
    const Inode& inode = tree_.At(item.inode);
    return inode.type == TarType::kDirectory ? DirectoryData(item) : std::string(tree_.Text(inode));
  }

  // --- Extended attributes

  std::vector<TarXattr> XattrsOf(const Inode& inode) const {
    std::vector<TarXattr> xattrs = tree_.Xattrs(inode);
    if (inode.type == TarType::kDirectory && inode.opaque)
      xattrs.push_back({"trusted.overlay.opaque", "y"});
    if (inode.type == TarType::kRegular && inode.content == LayerTree::Content::kObject) {
      xattrs.push_back({"trusted.overlay.metacopy", ""});
      xattrs.push_back({"trusted.overlay.redirect", Cat("/", ObjectPath(tree_.Object(inode)))});
    }
    return xattrs;
  }

  static XattrPrefix PrefixOf(std::string_view name) {
    for (const XattrPrefix& known : kXattrPrefixes) {
      if (name.starts_with(known.prefix))
        return known;
    }
    return {"", 0};
  }

  static size_t XattrSize(const std::vector<TarXattr>& xattrs) {
    size_t size = xattrs.empty() ? 0 : kXattrHeader;
    for (const TarXattr& xattr : xattrs) {
      size_t name = xattr.name.size() - PrefixOf(xattr.name).prefix.size();
      size += AlignUp<size_t>(kXattrEntry + name + xattr.value.size(), 4);
    }
    return size;
  }

  void AddXattrs(const std::vector<TarXattr>& xattrs) {
    if (xattrs.empty())
      return;
    size_t start = out_.size();
    out_.append(kXattrHeader, '\0');
    for (const TarXattr& xattr : xattrs) {
      XattrPrefix prefix = PrefixOf(xattr.name);
      std::string_view name = std::string_view(xattr.name).substr(prefix.prefix.size());
      PutInt<uint8_t>(out_, static_cast<uint8_t>(name.size()));
      PutInt<uint8_t>(out_, prefix.index);
      PutInt<uint16_t>(out_, static_cast<uint16_t>(xattr.value.size()));
      out_ += name;
      out_ += xattr.value;
      out_.append(AlignUp<size_t>(out_.size() - start, 4) - (out_.size() - start), '\0');
    }
  }

  // --- Output, in order

  void AddSuperblock() {
    out_.append(kSuperOffset, '\0');
    PutInt<uint32_t>(out_, kMagic);
    PutInt<uint32_t>(out_, 0);  // checksum: not used
    PutInt<uint32_t>(out_, kCompatMtime);
    PutInt<uint8_t>(out_, kBlockBits);
    PutInt<uint8_t>(out_, 0);
    PutInt<uint16_t>(out_, static_cast<uint16_t>(slots_[RootInode()]));
    PutInt<uint64_t>(out_, items_.size());
    out_.append(12, '\0');  // build time
    PutInt<uint32_t>(out_, static_cast<uint32_t>(size() / kBlock));
    // Metadata from block 0 on, no shared attributes, no identifiers, no incompatible features.
    out_.append(kSuperOffset + kSuperSize - out_.size(), '\0');
  }

  // i_u: the first block, the chunk format or the device.
  uint32_t InodeUnion(const Item& item, const Inode& inode) const {
    if (item.layout == Layout::kChunks) {
      auto needed = static_cast<size_t>(std::bit_width(std::max<uint64_t>(inode.size, 1) - 1));
      return static_cast<uint32_t>(std::clamp(needed, kBlockBits, kMaxChunkBits) - kBlockBits);
    }
    if (inode.type == TarType::kCharDevice || inode.type == TarType::kBlockDevice)
      return EncodeDevice(inode.device_major, inode.device_minor);
    return static_cast<uint32_t>(AlignUp<uint64_t>(meta_end_, kBlock) / kBlock) + item.first_block;
  }

  Result<> AddInode(const Item& item) {
    Pad(item.at);
    const Inode& inode = tree_.At(item.inode);
    std::vector<TarXattr> xattrs = XattrsOf(inode);
    size_t xattr_size = XattrSize(xattrs);
    PutInt<uint16_t>(out_,
                     static_cast<uint16_t>(kExtendedInode | static_cast<int>(item.layout) << 1));
    PutInt<uint16_t>(
        out_, static_cast<uint16_t>(xattr_size == 0 ? 0 : 1 + (xattr_size - kXattrHeader) / 4));
    PutInt<uint16_t>(out_, static_cast<uint16_t>(inode.FullMode()));
    PutInt<uint16_t>(out_, 0);
    PutInt<uint64_t>(out_, item.size);
    PutInt<uint32_t>(out_, InodeUnion(item, inode));
    PutInt<uint32_t>(out_, item.inode + 1);
    PutInt<uint32_t>(out_, inode.uid);
    PutInt<uint32_t>(out_, inode.gid);
    PutInt<uint64_t>(out_, static_cast<uint64_t>(inode.mtime.seconds));
    PutInt<uint32_t>(out_, inode.mtime.nanos);
    PutInt<uint32_t>(out_, inode.links);
    out_.append(16, '\0');
    AddXattrs(xattrs);
    if (item.layout == Layout::kChunks) {
      PutInt<uint32_t>(out_, kNoBlock);
    } else if (item.layout == Layout::kInline) {
      out_ += std::string_view(Data(item)).substr(size_t{item.blocks} * kBlock);
    }
    return out_.size() < kFlushAt ? Result<>() : Flush();
  }

  Result<> AddBlocks(const Item& item) {
    std::string data = Data(item);
    data.resize(size_t{item.blocks} * kBlock);  // without what is inline, or padded
    out_ += data;
    return out_.size() < kFlushAt ? Result<>() : Flush();
  }

  void Pad(uint64_t to) { out_.append(static_cast<size_t>(to - position_ - out_.size()), '\0'); }

  Result<> Flush() {
    TRY(WriteAll(fd_, out_, "metadata image"));
    position_ += out_.size();
    out_.clear();
    return {};
  }

  const LayerTree& tree_;
  const int fd_;
  std::vector<Item> items_;      // by position
  std::vector<uint32_t> slots_;  // position of each inode in slots; 0: not placed
  std::deque<Gap> gaps_;         // the latest
  uint64_t meta_end_ = 0;
  uint32_t data_blocks_ = 0;
  uint64_t position_ = 0;  // of what has been written
  std::string out_;
};

}  // namespace

Result<ErofsStats> WriteErofs(const LayerTree& tree, int fd) {
  return ErofsWriter(tree, fd).Write();
}

Result<ErofsRoot> ReadErofsRoot(int fd) {
  std::string super(kSuperSize, '\0');
  if (pread(fd, super.data(), super.size(), kSuperOffset) < 0)
    return FailSys("read", "the metadata image");
  BytesReader head(super);
  bool known = head.Int<uint32_t>() == kMagic;
  head.Take(10);
  size_t slot = head.Int<uint16_t>();
  std::string inode(kInodeSize, '\0');
  if (pread(fd, inode.data(), inode.size(), static_cast<off_t>(slot << kSlotBits)) < 0)
    return FailSys("read", "the metadata image");
  BytesReader in(inode);
  auto format = in.Int<uint16_t>();
  in.Take(2);
  auto mode = in.Int<uint16_t>();
  in.Take(18);
  ErofsRoot root{mode & 07777u, in.Int<uint32_t>(), in.Int<uint32_t>()};
  if (!known || (format & 1) != kExtendedInode || !S_ISDIR(mode))
    return Fail(Errc::kCorrupt, "the metadata image of the layers is damaged");
  return root;
}

}  // namespace wherry::store
