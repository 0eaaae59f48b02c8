#include "store/layer_tree.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <numeric>

#include "core/base/text.h"
#include "store/layer_xattr.h"
#include "store/objects.h"

namespace wherry::store {

namespace {

constexpr int kMaxLinks = 40;
constexpr size_t kMaxTrail = 256;
constexpr size_t kMaxTextBytes = size_t{512} << 20;
constexpr size_t kMaxLinkTarget = 4095;
constexpr size_t kMaxName = 255;
// Device numbers as Linux packs them into 32 bits.
constexpr uint32_t kMaxMajor = 0xfff;
constexpr uint32_t kMaxMinor = 0xfffff;

// Another one in each tree, so that no archive can be made for long chains.
uint64_t RandomSeed() {
  uint64_t seed = 0;
  (void)!getrandom(&seed, sizeof seed, 0);
  return seed;
}

std::unexpected<Error> BadParent(std::string_view name, std::string_view why) {
  return Fail(Errc::kInvalid, Cat("its directory cannot be used: ", name, " ", why));
}

std::unexpected<Error> MissingTarget(const TarEntry& entry) {
  return Fail(Errc::kInvalid,
              Cat("it is a hard link to ", QuoteName(entry.link_name),
                  ", which is not in this layer; the archive must contain it before the link"));
}

void PushComponents(std::vector<std::string_view>& ahead, std::string_view path) {
  auto parts = Split(path, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->empty() && *part != ".")
      ahead.push_back(*part);
  }
}

Result<> CheckEntry(const TarEntry& entry) {
  if (entry.device_major > kMaxMajor || entry.device_minor > kMaxMinor)
    return Fail(Errc::kInvalid, "its device number is out of range");
  if (entry.type == TarType::kSymlink &&
      (entry.link_name.empty() || entry.link_name.size() > kMaxLinkTarget ||
       entry.link_name.find('\0') != std::string::npos)) {
    return Fail(Errc::kInvalid, "the target of the symbolic link is empty or too long");
  }
  return {};
}

}  // namespace

mode_t LayerTree::Inode::FullMode() const {
  switch (type) {
    case TarType::kDirectory:
      return S_IFDIR | mode;
    case TarType::kSymlink:
      return S_IFLNK | mode;
    case TarType::kCharDevice:
      return S_IFCHR | mode;
    case TarType::kBlockDevice:
      return S_IFBLK | mode;
    case TarType::kFifo:
      return S_IFIFO | mode;
    default:
      return S_IFREG | mode;
  }
}

LayerTree::LayerTree() : seed_(RandomSeed()), table_(1024) {
  inodes_.emplace_back();
  names_.push_back({kRoot, 0, 0, 0, false});
}

Result<std::optional<LayerTree::InodeId>> LayerTree::Add(const TarEntry& entry) {
  LayerPath path = TRY(ParseLayerPath(entry.name, entry.type));
  if (text_.size() > kMaxTextBytes)
    return Fail(Errc::kInvalid, "the names and attributes of the layer take too much memory");
  switch (path.mark) {
    case LayerMark::kIgnored:
      return std::nullopt;
    case LayerMark::kOpaque:
      InodeAt(TRY(Directory(path.parent, entry.mtime, true))).opaque = true;
      return std::nullopt;
    case LayerMark::kWhiteout:
      TRY(AddWhiteout(path, entry.mtime));
      return std::nullopt;
    case LayerMark::kNone:
      break;
  }
  TRY(CheckEntry(entry));
  switch (entry.type) {
    case TarType::kDirectory:
      TRY(path.base.empty() ? AddRoot(entry) : AddDirectory(path, entry));
      return std::nullopt;
    case TarType::kHardlink:
      TRY(AddHardlink(path, entry));
      return std::nullopt;
    case TarType::kRegular:
      return TRY(AddLeaf(path, entry));
    default:
      TRY(AddLeaf(path, entry));
      return std::nullopt;
  }
}

void LayerTree::SetObject(InodeId file, const Digest& digest) {
  inodes_[file].content = Content::kObject;
  inodes_[file].content_at = static_cast<uint32_t>(objects_.size());
  objects_.push_back(digest);
}

void LayerTree::SetInline(InodeId file, std::string_view bytes) {
  inodes_[file].content = Content::kInline;
  inodes_[file].content_at = text_.Add(bytes);
}

// --- Names

size_t LayerTree::Hash(NameId parent, std::string_view name) const {
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a
  uint64_t hash = (seed_ ^ parent) * kPrime;
  for (char c : name)
    hash = (hash ^ static_cast<uint8_t>(c)) * kPrime;
  return static_cast<size_t>(hash ^ hash >> 32);
}

std::optional<LayerTree::NameId> LayerTree::Find(NameId parent, std::string_view name) const {
  size_t mask = table_.size() - 1;
  for (size_t slot = Hash(parent, name) & mask; table_[slot] != 0; slot = (slot + 1) & mask) {
    const NameState& state = names_[table_[slot] - 1];
    if (!state.gone && state.parent == parent && Name(state) == name)
      return table_[slot] - 1;
  }
  return std::nullopt;
}

LayerTree::NameId LayerTree::Insert(NameId parent, std::string_view name, InodeId inode) {
  if (names_.size() * 2 > table_.size())
    Grow();
  auto id = static_cast<NameId>(names_.size());
  names_.push_back({parent, text_.Add(name), inode, static_cast<uint8_t>(name.size()), false});
  size_t mask = table_.size() - 1;
  size_t slot = Hash(parent, name) & mask;
  while (table_[slot] != 0)
    slot = (slot + 1) & mask;
  table_[slot] = id + 1;
  return id;
}

void LayerTree::Grow() {
  std::vector<uint32_t> larger(table_.size() * 2);
  size_t mask = larger.size() - 1;
  for (uint32_t entry : table_) {
    if (entry == 0 || names_[entry - 1].gone)
      continue;
    const NameState& state = names_[entry - 1];
    size_t slot = Hash(state.parent, Name(state)) & mask;
    while (larger[slot] != 0)
      slot = (slot + 1) & mask;
    larger[slot] = entry;
  }
  table_ = std::move(larger);
}

void LayerTree::Clear(NameId parent, std::string_view name) {
  if (auto found = Find(parent, name))
    names_[*found].gone = true;
}

// --- Directories

// Component by component; with `make`, what is missing is made and whiteouts give way.
Result<LayerTree::NameId> LayerTree::Directory(std::string_view path, TarTime mtime, bool make) {
  std::vector<NameId> trail = {kRoot};
  std::vector<std::string_view> ahead;  // last first; views of `path` and of link targets
  int links = 0;
  PushComponents(ahead, path);
  while (!ahead.empty()) {
    std::string_view part = ahead.back();
    ahead.pop_back();
    if (part == "..") {
      if (trail.size() > 1)
        trail.pop_back();
      continue;
    }
    NameId here = trail.back();
    auto found = Find(here, part);
    const Inode* inode = found ? &InodeAt(*found) : nullptr;
    if (inode != nullptr && inode->type == TarType::kSymlink) {
      if (links++ == kMaxLinks)
        return BadParent(path, "leads through too many symbolic links");
      std::string_view target = Text(*inode);
      if (target.starts_with('/'))
        trail.resize(1);
      PushComponents(ahead, target);
      continue;
    }
    bool whiteout = inode != nullptr && inode->IsWhiteout();
    if (inode != nullptr && !whiteout && inode->type != TarType::kDirectory)
      return BadParent(part, "is no directory");
    if (trail.size() > kMaxTrail)
      return BadParent(path, "is too deep");
    if (inode == nullptr || whiteout) {
      if (!make)
        return BadParent(part, "does not exist");
      Clear(here, part);
      Inode made;
      made.mtime = mtime;
      made.opaque = whiteout;  // what the layers below have there stays hidden
      inodes_.push_back(made);
      found = Insert(here, part, static_cast<InodeId>(inodes_.size() - 1));
    }
    trail.push_back(*found);
  }
  return trail.back();
}

Result<> LayerTree::SetMetadata(InodeId id, const TarEntry& entry) {
  Inode& inode = inodes_[id];
  inode.mode = static_cast<uint16_t>(entry.type == TarType::kSymlink ? 0777 : entry.mode & 07777);
  inode.uid = entry.uid;
  inode.gid = entry.gid;
  inode.mtime = entry.mtime;
  inode.xattrs = 0;
  // As a file system would hold them: none on links and special files.
  if (entry.type != TarType::kRegular && entry.type != TarType::kDirectory)
    return {};
  std::vector<TarXattr> kept = TRY(KeptXattrs(entry.xattrs));
  inode.xattrs = KeepXattrs(kept);
  return {};
}

uint32_t LayerTree::KeepXattrs(const std::vector<TarXattr>& kept) {
  std::string packed;
  for (const TarXattr& xattr : kept)
    Append(packed, xattr.name, std::string_view("\0", 1), xattr.value.size(), ":", xattr.value);
  if (packed.empty())
    return 0;
  return text_.Add(Cat(packed.size(), ":", packed)) + 1;
}

Result<> LayerTree::AddRoot(const TarEntry& entry) {
  return SetMetadata(names_[kRoot].inode, entry);
}

Result<> LayerTree::AddDirectory(const LayerPath& path, const TarEntry& entry) {
  NameId parent = TRY(Directory(path.parent, entry.mtime, true));
  auto found = Find(parent, path.base);
  if (found && InodeAt(*found).type == TarType::kDirectory)
    return SetMetadata(names_[*found].inode, entry);
  bool whiteout = found && InodeAt(*found).IsWhiteout();
  Clear(parent, path.base);
  Inode made;
  made.opaque = whiteout;
  inodes_.push_back(made);
  auto id = static_cast<InodeId>(inodes_.size() - 1);
  Insert(parent, path.base, id);
  return SetMetadata(id, entry);
}

// --- Everything that is no directory

Result<LayerTree::InodeId> LayerTree::AddLeaf(const LayerPath& path, const TarEntry& entry) {
  NameId parent = TRY(Directory(path.parent, entry.mtime, true));
  Clear(parent, path.base);
  Inode inode;
  inode.type = entry.type;
  if (entry.type == TarType::kCharDevice || entry.type == TarType::kBlockDevice) {
    inode.device_major = entry.device_major;
    inode.device_minor = entry.device_minor;
  }
  if (entry.type == TarType::kRegular)
    inode.size = entry.size;
  if (entry.type == TarType::kSymlink) {
    inode.size = entry.link_name.size();
    inode.content = Content::kInline;
    inode.content_at = text_.Add(entry.link_name);
  }
  inodes_.push_back(inode);
  auto id = static_cast<InodeId>(inodes_.size() - 1);
  Insert(parent, path.base, id);
  TRY(SetMetadata(id, entry));
  return id;
}

// The entry's own metadata is not applied: it is that of the file, which is there already.
Result<> LayerTree::AddHardlink(const LayerPath& path, const TarEntry& entry) {
  LayerPath target = TRY_CTX("the target of the hard link", ParseLinkTarget(entry.link_name));
  NameId parent = TRY(Directory(path.parent, entry.mtime, true));
  auto target_parent = Directory(target.parent, {}, false);
  auto found = target_parent ? Find(*target_parent, target.base) : std::nullopt;
  if (!found || InodeAt(*found).IsWhiteout())
    return MissingTarget(entry);
  InodeId inode = names_[*found].inode;
  if (inodes_[inode].type == TarType::kDirectory)
    return Fail(Errc::kInvalid, "it is a hard link to a directory");
  auto present = Find(parent, path.base);
  if (present && names_[*present].inode == inode)
    return {};  // a link to itself
  Clear(parent, path.base);
  // What was in the way may have been the way to the target.
  target_parent = Directory(target.parent, {}, false);
  if (!target_parent || !Find(*target_parent, target.base))
    return MissingTarget(entry);
  Insert(parent, path.base, inode);
  return {};
}

// A name that the same layer has hides the one below anyway; a directory has to be told to.
Result<> LayerTree::AddWhiteout(const LayerPath& path, TarTime mtime) {
  NameId parent = TRY(Directory(path.parent, mtime, true));
  if (auto found = Find(parent, path.base)) {
    Inode& inode = InodeAt(*found);
    inode.opaque = inode.opaque || inode.type == TarType::kDirectory;
    return {};
  }
  Inode whiteout;
  whiteout.type = TarType::kCharDevice;
  whiteout.mode = 0;
  inodes_.push_back(whiteout);
  Insert(parent, path.base, static_cast<InodeId>(inodes_.size() - 1));
  return {};
}

// --- Whole trees

LayerTree::InodeId LayerTree::AddInode(const Inode& metadata, const std::vector<TarXattr>& xattrs) {
  Inode& inode = inodes_.emplace_back(metadata);
  inode.content = Content::kNone;
  inode.links = 0;
  inode.xattrs = KeepXattrs(xattrs);
  return static_cast<InodeId>(inodes_.size() - 1);
}

void LayerTree::SetRoot(const Inode& metadata, const std::vector<TarXattr>& xattrs) {
  Inode& root = InodeAt(kRoot);
  root = metadata;
  root.links = 0;
  root.xattrs = KeepXattrs(xattrs);
}

Result<LayerTree::NameId> LayerTree::AddName(NameId parent, std::string_view name, InodeId inode) {
  bool bad = name.empty() || name == "." || name == ".." || name.size() > kMaxName ||
             name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos;
  if (bad || parent >= names_.size() || InodeAt(parent).type != TarType::kDirectory ||
      inode >= inodes_.size() || inode == names_[kRoot].inode || Find(parent, name))
    return Fail(Errc::kInvalid, Cat("a layer cannot have the name ", QuoteName(name), " there"));
  return Insert(parent, name, inode);
}

// A copy of an inode of another tree.
LayerTree::InodeId LayerTree::Take(const LayerTree& from, InodeId inode) {
  const Inode& source = from.inodes_[inode];
  InodeId id = AddInode(source, from.Xattrs(source));
  inodes_[id].opaque = false;
  if (source.content == Content::kInline)
    SetInline(id, from.Text(source));
  else if (source.content == Content::kObject)
    SetObject(id, from.Object(source));
  return id;
}

void LayerTree::Overlay(const LayerTree& upper) {
  constexpr InodeId kNotTaken = UINT32_MAX;
  std::vector<InodeId> taken(upper.inodes_.size(), kNotTaken);
  std::vector<std::pair<NameId, NameId>> directories = {{kRoot, kRoot}};  // of `upper`, of this
  const Inode& root = upper.At(upper.InodeOf(kRoot));
  SetRoot(root, upper.Xattrs(root));
  while (!directories.empty()) {
    auto [from, to] = directories.back();
    directories.pop_back();
    for (NameId child : upper.Children(from)) {
      InodeId inode = upper.InodeOf(child);
      const Inode& entry = upper.At(inode);
      bool directory = entry.type == TarType::kDirectory;
      auto below = Find(to, upper.Name(child));
      bool merges =
          directory && !entry.opaque && below && InodeAt(*below).type == TarType::kDirectory;
      if (!merges)
        Clear(to, upper.Name(child));
      if (entry.IsWhiteout())
        continue;
      if (taken[inode] == kNotTaken)
        taken[inode] = Take(upper, inode);
      NameId name = merges ? *below : Insert(to, upper.Name(child), taken[inode]);
      names_[name].inode = taken[inode];
      if (directory)
        directories.emplace_back(child, name);
    }
  }
}

void LayerTree::HideObjects() {
  std::optional<InodeId> whiteout;
  for (char group : kObjectGroups) {
    std::string name(1, group);
    if (auto found = Find(kRoot, name)) {
      InodeAt(*found).opaque = InodeAt(*found).type == TarType::kDirectory;
      continue;
    }
    if (!whiteout) {
      Inode inode;
      inode.type = TarType::kCharDevice;
      inode.mode = 0;
      whiteout = AddInode(inode, {});
    }
    Insert(kRoot, name, *whiteout);
  }
}

// --- The finished tree

void LayerTree::Seal() {
  // A parent's id is lower than its children's: it was there first.
  for (NameId id = 1; id < names_.size(); ++id)
    names_[id].gone = names_[id].gone || names_[names_[id].parent].gone;
  order_.clear();
  for (NameId id = 1; id < names_.size(); ++id) {
    if (!names_[id].gone)
      order_.push_back(id);
  }
  std::sort(order_.begin(), order_.end(), [this](NameId a, NameId b) {
    return names_[a].parent != names_[b].parent ? names_[a].parent < names_[b].parent
                                                : Name(a) < Name(b);
  });
  first_child_.assign(names_.size() + 1, 0);
  for (NameId id : order_)
    ++first_child_[names_[id].parent + 1];
  std::partial_sum(first_child_.begin(), first_child_.end(), first_child_.begin());
  inodes_[names_[kRoot].inode].links = 2;
  for (NameId id : order_) {
    Inode& inode = InodeAt(id);
    bool directory = inode.type == TarType::kDirectory;
    inode.links += directory ? 2 : 1;
    if (directory)
      ++InodeAt(names_[id].parent).links;
  }
}

std::span<const LayerTree::NameId> LayerTree::Children(NameId directory) const {
  return std::span(order_).subspan(first_child_[directory],
                                   first_child_[directory + 1] - first_child_[directory]);
}

std::string_view LayerTree::Name(NameId name) const {
  return Name(names_[name]);
}

std::optional<LayerTree::InodeId> LayerTree::LookUp(const LayerPath& path) {
  auto parent = Directory(path.parent, {}, false);
  auto found = parent ? Find(*parent, path.base) : std::nullopt;
  return found ? std::optional(InodeOf(*found)) : std::nullopt;
}

bool LayerTree::HasInlineFile() const {
  return std::ranges::any_of(inodes_, [](const Inode& inode) {
    return inode.type == TarType::kRegular && inode.content == Content::kInline;
  });
}

std::string_view LayerTree::Text(const Inode& inode) const {
  return inode.content == Content::kInline
             ? text_.From(inode.content_at).substr(0, static_cast<size_t>(inode.size))
             : std::string_view();
}

std::vector<TarXattr> LayerTree::Xattrs(const Inode& inode) const {
  std::vector<TarXattr> xattrs;
  if (inode.xattrs == 0)
    return xattrs;
  auto number = [](std::string_view& text) {  // "12:", written by SetMetadata
    auto pair = SplitFirst(text, ':');
    text = pair->tail;
    return static_cast<size_t>(*ParseUint(pair->head));
  };
  std::string_view rest = text_.From(inode.xattrs - 1);
  size_t size = number(rest);
  rest = rest.substr(0, size);
  while (!rest.empty()) {
    auto name = SplitFirst(rest, '\0');
    rest = name->tail;
    size_t value = number(rest);
    xattrs.push_back({std::string(name->head), std::string(rest.substr(0, value))});
    rest.remove_prefix(value);
  }
  return xattrs;
}

uint64_t LayerTree::size_bytes() const {
  uint64_t size = 0;
  for (const Inode& inode : inodes_) {
    if (inode.type == TarType::kRegular && inode.links > 0)
      size += inode.size;
  }
  return size;
}

}  // namespace wherry::store
