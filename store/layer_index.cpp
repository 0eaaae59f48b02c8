#include "store/layer_index.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <unordered_map>

#include "core/base/byte_source.h"
#include "core/base/text.h"
#include "store/bytes.h"
#include "store/compress.h"
#include "store/decompress.h"

namespace wherry::store {

namespace {

constexpr std::string_view kMagic = "wherryL1";
constexpr size_t kHeaderBytes = kMagic.size() + Digest::kSize + 8 + 4 + 4;
constexpr size_t kObjectBytes = Digest::kSize + 8;
constexpr char kGzipStart = '\x1f';  // no first entry begins so: it has distance 0

// Flags of an entry.
constexpr uint8_t kOpaque = 1;
constexpr uint8_t kInline = 2;
constexpr uint8_t kObject = 4;
constexpr uint8_t kXattrs = 8;
constexpr uint8_t kLink = 16;  // another name of an earlier entry

constexpr size_t kObjectsAtOnce = 800;  // 32 KiB

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

std::string_view Raw(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes().data()), Digest::kSize};
}

Digest DigestFrom(std::string_view raw) {
  std::array<uint8_t, Digest::kSize> bytes{};
  std::copy(raw.begin(), raw.end(), bytes.begin());
  return Digest(bytes);
}

uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Entries in depth-first order, each with the distance to its directory's entry; made while they
// are read.
class Encoder final : public ByteSource {
 public:
  Encoder(const LayerTree& tree, std::span<const ObjectSize> objects)
      : tree_(tree), entry_of_(tree.inode_count(), kNone) {
    for (const ObjectSize& object : objects)
      numbers_.emplace(object.digest, static_cast<uint32_t>(numbers_.size()));
    ahead_.emplace_back(LayerTree::kRoot, 0);
  }

  Result<size_t> Read(std::span<std::byte> out) override {
    while (given_ == made_.size() && !ahead_.empty())
      MakeNext();
    size_t count = std::min(out.size(), made_.size() - given_);
    std::ranges::copy(std::as_bytes(std::span(made_).subspan(given_, count)), out.begin());
    given_ += count;
    return count;
  }

  uint32_t count() const { return count_; }  // of the entries so far

 private:
  void MakeNext() {
    made_.clear();
    given_ = 0;
    auto [name, parent] = ahead_.back();
    ahead_.pop_back();
    uint32_t entry = count_;
    bool root = name == LayerTree::kRoot;
    AddEntry(parent, root ? "" : tree_.Name(name), tree_.InodeOf(name));
    if (tree_.At(tree_.InodeOf(name)).type != TarType::kDirectory)
      return;
    auto children = tree_.Children(name);
    for (auto child = children.rbegin(); child != children.rend(); ++child)
      ahead_.emplace_back(*child, entry);
  }

  void AddEntry(uint32_t parent, std::string_view name, LayerTree::InodeId id) {
    uint32_t number = count_++;
    PutVar(made_, number - parent);
    PutText(made_, name);
    if (entry_of_[id] != kNone) {
      PutInt<uint8_t>(made_, kLink);
      PutVar(made_, number - entry_of_[id]);
      return;
    }
    entry_of_[id] = number;
    const LayerTree::Inode& inode = tree_.At(id);
    std::vector<TarXattr> xattrs = tree_.Xattrs(inode);
    bool is_inline = inode.content == LayerTree::Content::kInline;
    bool is_object = inode.content == LayerTree::Content::kObject;
    PutInt<uint8_t>(
        made_, static_cast<uint8_t>((inode.opaque ? kOpaque : 0) | (is_inline ? kInline : 0) |
                                    (is_object ? kObject : 0) | (xattrs.empty() ? 0 : kXattrs)));
    PutInt<uint8_t>(made_, static_cast<uint8_t>(inode.type));
    PutVar(made_, inode.mode);
    PutVar(made_, inode.uid);
    PutVar(made_, inode.gid);
    PutVar(made_, ZigZag(inode.mtime.seconds));
    PutVar(made_, inode.mtime.nanos);
    PutVar(made_, inode.size);
    if (inode.type == TarType::kCharDevice || inode.type == TarType::kBlockDevice) {
      PutVar(made_, inode.device_major);
      PutVar(made_, inode.device_minor);
    }
    if (is_inline)
      made_ += tree_.Text(inode);
    if (is_object)
      PutVar(made_, numbers_.at(tree_.Object(inode)));
    if (!xattrs.empty())
      PutVar(made_, xattrs.size());
    for (const TarXattr& xattr : xattrs) {
      PutText(made_, xattr.name);
      PutText(made_, xattr.value);
    }
  }

  const LayerTree& tree_;
  std::unordered_map<Digest, uint32_t, DigestHash> numbers_;
  std::vector<uint32_t> entry_of_;                             // by inode
  std::vector<std::pair<LayerTree::NameId, uint32_t>> ahead_;  // with their directories' entries
  std::string made_;
  size_t given_ = 0;
  uint32_t count_ = 0;
};

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail(Errc::kCorrupt, Cat("the layer's index is damaged: ", what));
}

Result<> AppendAll(ByteSource& source, std::string& out) {
  std::array<char, 16 << 10> piece;
  while (size_t count = TRY(source.Read(std::as_writable_bytes(std::span(piece))))) {
    if (count > kMaxIndexBytes - out.size())
      return Damaged("its entries are too long");
    out.append(piece.data(), count);
  }
  return {};
}

// The entries of an index as a tree.
class Rebuilder {
 public:
  Rebuilder(const LayerIndex& index, std::string_view entries) : index_(index), in_(entries) {}

  Result<LayerTree> Run(size_t count) {
    for (size_t number = 0; number < count; ++number)
      TRY(ReadEntry(number));
    if (in_.left() != 0)
      return Damaged("there is more than its entries");
    tree_.Seal();
    return std::move(tree_);
  }

 private:
  Result<> ReadEntry(size_t number) {
    uint64_t up = in_.Var();
    std::string_view name = in_.Text();
    auto flags = in_.Int<uint8_t>();
    bool root = number == 0;
    if (!in_.ok() || up > number || (up == 0) != root || name.empty() != root)
      return Damaged("an entry is out of place");
    if ((flags & kLink) != 0) {
      uint64_t back = in_.Var();
      if (!in_.ok() || back == 0 || back > number)
        return Damaged("a link leads nowhere");
      inodes_.push_back(inodes_[number - static_cast<size_t>(back)]);
      if (tree_.At(inodes_.back()).type == TarType::kDirectory)
        return Damaged("a link leads to a directory");
    } else {
      TRY(ReadInode(flags, root));
    }
    LayerTree::NameId id = LayerTree::kRoot;
    if (!root) {
      auto added = tree_.AddName(names_[number - static_cast<size_t>(up)], name, inodes_.back());
      if (!added)
        return Damaged(added.error().message());
      id = *added;
    }
    names_.push_back(id);
    return {};
  }

  Result<> ReadInode(uint8_t flags, bool root) {
    LayerTree::Inode inode;
    auto type = in_.Int<uint8_t>();
    uint64_t mode = in_.Var();
    uint64_t uid = in_.Var();
    uint64_t gid = in_.Var();
    inode.mtime.seconds = UnZigZag(in_.Var());
    uint64_t nanos = in_.Var();
    inode.size = in_.Var();
    bool small = mode <= 07777 && uid < kNone && gid < kNone && nanos < 1'000'000'000;
    bool known = type <= static_cast<uint8_t>(TarType::kFifo) &&
                 type != static_cast<uint8_t>(TarType::kHardlink);
    if (!in_.ok() || !small || !known)
      return Damaged("an entry's metadata");
    inode.type = static_cast<TarType>(type);
    inode.mode = static_cast<uint16_t>(mode);
    inode.uid = static_cast<uint32_t>(uid);
    inode.gid = static_cast<uint32_t>(gid);
    inode.mtime.nanos = static_cast<uint32_t>(nanos);
    inode.opaque = (flags & kOpaque) != 0;
    if (inode.type == TarType::kCharDevice || inode.type == TarType::kBlockDevice) {
      inode.device_major = static_cast<uint32_t>(in_.Var());
      inode.device_minor = static_cast<uint32_t>(in_.Var());
    }
    std::string_view text = (flags & kInline) != 0 ? in_.Take(inode.size) : std::string_view();
    uint64_t object = (flags & kObject) != 0 ? in_.Var() : 0;
    std::vector<TarXattr> xattrs;
    for (uint64_t left = (flags & kXattrs) != 0 ? in_.Var() : 0; in_.ok() && left > 0; --left) {
      std::string name(in_.Text());
      xattrs.push_back({std::move(name), std::string(in_.Text())});
    }
    bool regular = inode.type == TarType::kRegular;
    bool content_fits = (flags & kObject) != 0 ? regular && object < index_.object_count()
                        : (flags & kInline) != 0
                            ? regular || inode.type == TarType::kSymlink
                            : inode.type != TarType::kSymlink && (!regular || inode.size == 0);
    if (!in_.ok() || !content_fits || (root && inode.type != TarType::kDirectory))
      return Damaged("an entry's content");
    if (root) {
      tree_.SetRoot(inode, xattrs);
      inodes_.push_back(tree_.InodeOf(LayerTree::kRoot));
      return {};
    }
    LayerTree::InodeId id = tree_.AddInode(inode, xattrs);
    if ((flags & kInline) != 0)
      tree_.SetInline(id, text);
    if ((flags & kObject) != 0)
      tree_.SetObject(id, index_.object(static_cast<size_t>(object)).digest);
    inodes_.push_back(id);
    return {};
  }

  const LayerIndex& index_;
  BytesReader in_;
  LayerTree tree_;
  std::vector<LayerTree::NameId> names_;    // by entry
  std::vector<LayerTree::InodeId> inodes_;  // by entry
};

ObjectSize ObjectFrom(BytesReader& in) {
  Digest digest = DigestFrom(in.Take(Digest::kSize));
  return {digest, in.Int<uint64_t>()};
}

// An index file from its front to its end.
class IndexFile {
 public:
  explicit IndexFile(int fd) : fd_(fd), buffer_(kObjectsAtOnce * kObjectBytes) {}

  // Valid until the next one. REQUIRES: not more than kObjectsAtOnce objects take.
  Result<std::string_view> Read(uint64_t size) {
    for (size_t done = 0; done < size;) {
      ssize_t count = pread(fd_, buffer_.data() + done, static_cast<size_t>(size) - done,
                            static_cast<off_t>(at_ + done));
      if (count < 0 && errno != EINTR)
        return FailSys("read", "a layer's index");
      if (count == 0)
        return Damaged("it ends too early");
      done += count > 0 ? static_cast<size_t>(count) : 0;
    }
    at_ += size;
    return std::string_view(buffer_.data(), static_cast<size_t>(size));
  }
  size_t piece() const { return buffer_.size(); }
  uint64_t at() const { return at_; }

 private:
  int fd_;
  uint64_t at_ = 0;
  std::vector<char> buffer_;
};

}  // namespace

Result<std::string> LayerIndex::Encode(const Digest& diff_id, const LayerTree& tree,
                                       std::span<const ObjectSize> objects) {
  Encoder encoder(tree, objects);
  auto packed = TRY(Compress(encoder));
  std::string out(kMagic);
  out += Raw(diff_id);
  PutInt<uint64_t>(out, tree.size_bytes());
  size_t count_at = out.size();
  PutInt<uint32_t>(out, 0);
  PutInt<uint32_t>(out, static_cast<uint32_t>(objects.size()));
  for (const ObjectSize& object : objects) {
    out += Raw(object.digest);
    PutInt<uint64_t>(out, object.size);
  }
  TRY(AppendAll(*packed, out));
  std::string count;
  PutInt<uint32_t>(count, encoder.count());
  out.replace(count_at, count.size(), count);
  out += Raw(Digest::Of(out));
  return out;
}

Result<LayerIndex> LayerIndex::Decode(std::string content, const Digest& diff_id) {
  LayerIndex index;
  index.content_ = std::move(content);
  std::string_view all = index.content_;
  if (all.size() < kHeaderBytes + Digest::kSize || !all.starts_with(kMagic))
    return Damaged("it does not begin as one");
  std::string_view body = all.substr(0, all.size() - Digest::kSize);
  if (Raw(Digest::Of(body)) != all.substr(body.size()))
    return Damaged("its checksum does not match");
  BytesReader in(body.substr(kMagic.size()));
  if (DigestFrom(in.Take(Digest::kSize)) != diff_id)
    return Damaged("it is that of another layer");
  index.size_bytes_ = in.Int<uint64_t>();
  index.entries_ = in.Int<uint32_t>();
  index.objects_ = in.Int<uint32_t>();
  if (index.objects_ > in.left() / kObjectBytes)
    return Damaged("it ends among its objects");
  return index;
}

ObjectSize LayerIndex::object(size_t number) const {
  BytesReader in(std::string_view(content_).substr(kHeaderBytes + number * kObjectBytes));
  return ObjectFrom(in);
}

Result<> LayerIndex::Scan(int fd, const Digest& diff_id, Trust trust, const UseObject& use) {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return FailSys("stat", "a layer's index");
  uint64_t end = static_cast<uint64_t>(info.st_size);
  if (end < kHeaderBytes + Digest::kSize || end > kMaxIndexBytes)
    return Damaged("its length");
  end -= Digest::kSize;
  IndexFile file(fd);
  Hasher hasher;
  std::string_view header = TRY(file.Read(kHeaderBytes));
  hasher.Update(header);
  BytesReader in(header);
  bool named = in.Take(kMagic.size()) == kMagic && DigestFrom(in.Take(Digest::kSize)) == diff_id;
  in.Take(8 + 4);
  uint64_t left = uint64_t{in.Int<uint32_t>()} * kObjectBytes;
  if (!named || left > end - file.at())
    return Damaged("it does not begin as this layer's");
  while (left > 0) {
    std::string_view piece = TRY(file.Read(std::min<uint64_t>(left, file.piece())));
    left -= piece.size();
    if (trust == Trust::kVerify)
      hasher.Update(piece);
    for (BytesReader objects(piece); objects.left() > 0;)
      use(ObjectFrom(objects));
  }
  if (trust == Trust::kVerified)
    return {};
  while (file.at() < end) {
    std::string_view piece = TRY(file.Read(std::min<uint64_t>(end - file.at(), file.piece())));
    hasher.Update(piece);
  }
  if (Raw(hasher.Finish()) != TRY(file.Read(Digest::kSize)))
    return Damaged("its checksum does not match");
  return {};
}

Result<LayerTree> LayerIndex::Tree() const {
  std::string_view entries(content_);
  entries.remove_prefix(kHeaderBytes + objects_ * kObjectBytes);
  entries.remove_suffix(Digest::kSize);
  if (!entries.starts_with(kGzipStart))  // as the first versions wrote them
    return Rebuilder(*this, entries).Run(entries_);
  TextSource packed(entries);
  auto source = TRY(Decompress(packed, Compression::kGzip, Limits()));
  // A gzip stream ends with the size of its content: memory for that and no more.
  BytesReader end(entries);
  end.Take(entries.size() - std::min(entries.size(), sizeof(uint32_t)));
  std::string plain;
  plain.reserve(std::min<size_t>(end.Int<uint32_t>(), kMaxIndexBytes));
  TRY(AppendAll(*source, plain));
  return Rebuilder(*this, plain).Run(entries_);
}

}  // namespace wherry::store
