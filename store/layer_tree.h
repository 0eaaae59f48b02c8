// The entries of one layer as a tree in memory, as overlayfs wants them: whiteouts are 0/0
// character devices, opaque markers a flag of the directory. Files are here without their content.
// About 100 bytes an entry; nothing on disk. The same meaning of what archives leave open as
// docs/store.md, "Layers", states; symbolic links on the way to an entry are followed inside the
// tree only. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/layer_path.h"
#include "store/tar_entry.h"
#include "store/text_blocks.h"

namespace wherry::store {

class LayerTree {
 public:
  using NameId = uint32_t;
  using InodeId = uint32_t;
  static constexpr NameId kRoot = 0;

  // Where the bytes of a regular file are, or where a symbolic link leads.
  enum class Content : uint8_t { kNone, kInline, kObject };

  struct Inode {
    TarType type = TarType::kDirectory;  // never kHardlink
    Content content = Content::kNone;
    bool opaque = false;  // of directories
    uint16_t mode = 0755;
    uint32_t links = 0;  // set by Seal
    uint32_t uid = 0;
    uint32_t gid = 0;
    uint32_t device_major = 0;
    uint32_t device_minor = 0;
    TarTime mtime;
    uint64_t size = 0;  // of regular files and of the targets of symbolic links
    uint32_t xattrs = 0;
    uint32_t content_at = 0;

    // st_mode: the file type and the permissions.
    mode_t FullMode() const;
    bool IsWhiteout() const {
      return type == TarType::kCharDevice && device_major == 0 && device_minor == 0;
    }
  };

  LayerTree();

  // What `entry` says, except for the content of a file. The inode of a regular file, whose content
  // the caller has to set; nothing for all other types. kInvalid: refused entries, in words that do
  // not name the entry. After an error the tree is of no use.
  Result<std::optional<InodeId>> Add(const TarEntry& entry);
  void SetObject(InodeId file, const Digest& digest);
  void SetInline(InodeId file, std::string_view bytes);

  // Building a tree from what one was written down as (store/layer_index.h). An inode without
  // content; links are counted by Seal. kInvalid: no directory to put the name into, a name that
  // cannot be, or that is there.
  InodeId AddInode(const Inode& metadata, const std::vector<TarXattr>& xattrs);
  Result<NameId> AddName(NameId parent, std::string_view name, InodeId inode);
  void SetRoot(const Inode& metadata, const std::vector<TarXattr>& xattrs);

  // Lays a sealed tree over this one, as overlayfs shows them together: what remains are the files
  // one sees, without whiteouts and opaque marks. REQUIRES: the root of `upper` is not opaque.
  void Overlay(const LayerTree& upper);
  // Whiteouts where the objects' directories would show should they lie below as an ordinary layer.
  void HideObjects();

  // Sorts, counts links, forgets what later entries replaced. Nothing can be added afterwards; what
  // follows is valid from then on only.
  void Seal();
  // Names in a directory, sorted by bytes; ids of directories' names are their own.
  std::span<const NameId> Children(NameId directory) const;
  std::string_view Name(NameId name) const;
  // What has this name; symbolic links on the way there are followed.
  std::optional<InodeId> LookUp(const LayerPath& path);
  InodeId InodeOf(NameId name) const { return names_[name].inode; }
  const Inode& At(InodeId inode) const { return inodes_[inode]; }
  size_t inode_count() const { return inodes_.size(); }
  // Content of kInline files and targets of symbolic links.
  std::string_view Text(const Inode& inode) const;
  const Digest& Object(const Inode& inode) const { return objects_[inode.content_at]; }
  bool HasInlineFile() const;
  std::vector<TarXattr> Xattrs(const Inode& inode) const;
  uint64_t size_bytes() const;  // of all files, holes included, each once

 private:
  struct NameState {
    NameId parent;
    uint32_t text_at;
    InodeId inode;
    uint8_t size;
    bool gone;
  };
  struct Walk;

  std::string_view Name(const NameState& name) const {
    return text_.From(name.text_at).substr(0, name.size);
  }
  size_t Hash(NameId parent, std::string_view name) const;
  std::optional<NameId> Find(NameId parent, std::string_view name) const;
  NameId Insert(NameId parent, std::string_view name, InodeId inode);
  void Grow();
  Inode& InodeAt(NameId name) { return inodes_[names_[name].inode]; }
  InodeId NewInode(const TarEntry& entry);
  uint32_t KeepXattrs(const std::vector<TarXattr>& kept);
  InodeId Take(const LayerTree& from, InodeId inode);
  // Makes room for another entry of the same name.
  void Clear(NameId parent, std::string_view name);

  Result<NameId> Directory(std::string_view path, TarTime mtime, bool make);
  Result<> SetMetadata(InodeId id, const TarEntry& entry);
  Result<> AddRoot(const TarEntry& entry);
  Result<> AddDirectory(const LayerPath& path, const TarEntry& entry);
  Result<InodeId> AddLeaf(const LayerPath& path, const TarEntry& entry);
  Result<> AddHardlink(const LayerPath& path, const TarEntry& entry);
  Result<> AddWhiteout(const LayerPath& path, TarTime mtime);

  const uint64_t seed_;
  TextBlocks text_;  // names, targets, inline content, attributes
  std::vector<NameState> names_;
  std::vector<uint32_t> table_;  // open addressing: name id + 1; 0: free
  std::vector<Inode> inodes_;
  std::vector<Digest> objects_;

  std::vector<NameId> order_;          // after Seal: living names by parent, then bytes
  std::vector<uint32_t> first_child_;  // after Seal: by name id, into order_; one more at the end
};

}  // namespace wherry::store
