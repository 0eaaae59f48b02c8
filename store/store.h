// The image store on flash: layers shared by digest, images that are visible only when complete and
// durable, tags. It does not know registries, manifests or configurations: it keeps their exact
// bytes.
//
// Layout below the store directory (docs/store.md):
//   VERSION LOCK  obj/<h>/<63 hex>  layer/<diffid>.idx .tar  layer/<chain id>.erofs tree/<diffid>/
//   img/<manifest digest>  refs  txn/<id>/  resume/<diffid>/<n>/  quarantine/
// Rules: nothing that is not final reaches flash (no temporary blob); each content is stored once;
// an image exists when its commit record does, which is written after one syncfs of all it needs.
// Thread-safe; every call may block on the disk and belongs on a worker thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::store {

// The store's only view of the network, of archives and of memory. A lost connection is the
// source's own business: it reconnects and goes on at the same byte.
using BlobSource = ByteSource;

// A blob whose parts can be had. One thread; one part at a time: the one before is destroyed first.
class BlobRanges {
 public:
  virtual ~BlobRanges() = default;
  // Just these bytes. kUnsupported: it can be had as a whole only.
  virtual Result<std::unique_ptr<ByteSource>> Open(uint64_t offset, uint64_t size) = 0;
  // Told once how much will be asked for in all, for progress.
  virtual void Expect(uint64_t bytes) = 0;
};

// A blob that can be had from any byte on.
class BlobStart {
 public:
  virtual ~BlobStart() = default;
  // What the source gives next begins at `offset`. Called before anything is read, and again to
  // begin anew.
  virtual Result<> StartAt(uint64_t offset) = 0;
  // What an interrupted pull has left of the layer cannot be used: it is fetched from its start.
  virtual void OnFreshStart(const Error& why) = 0;
};

struct Limits {
  uint64_t max_layer_bytes = uint64_t{16} << 30;  // unpacked bytes of one layer
  uint64_t max_layer_entries = 500'000;           // tar entries of one layer
  uint64_t max_expansion =
      1000;  // unpacked : compressed beyond the first 64 MiB (decompression bombs)
  uint64_t reserve_bytes = uint64_t{16} << 20;  // left free on the file system
  uint64_t max_zstd_window = uint64_t{8} << 20;
};

enum class Compression : uint8_t { kNone, kGzip, kZstd };

// How the files of an image become a root file system. The objects are the same in all.
enum class Tier : uint8_t {
  kImageDataOnly,  // A1: an EROFS image of all metadata over the objects as a data-only layer
  kImage,          // A2: the same over the objects as an ordinary layer (before Linux 6.5)
  kDirectories,    // B: a directory for each layer, files being links to objects where they can
};
std::string_view TierName(Tier tier);  // "A1", "A2", "B"
// Nothing for "auto" and "".
Result<std::optional<Tier>> ParseTier(std::string_view name);

// Whether the kernel checks what it reads of objects and metadata images (fs-verity).
enum class Verity : uint8_t { kOff, kAuto, kRequire };

struct Options {
  Limits limits = {};
  std::optional<Tier> tier = {};  // absent: the best that works
  std::string factory = {};       // directory of the factory store; empty: none
  Verity verity = Verity::kOff;
};

// A root file system for overlayfs. Absolute paths.
struct RootFs {
  std::vector<std::string> lower;    // tier B: directories, topmost first
  std::string image;                 // tier A: the metadata image
  std::vector<std::string> objects;  // tier A: what its redirects begin at; the first that has it
  bool data_only = false;            // tier A1
  uint32_t mode = 0755;              // of "/"
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct LayerInfo {
  Digest diff_id;
  uint64_t size_bytes = 0;  // sum of file sizes
};

// A complete image as its commit record tells it.
struct Image {
  Digest manifest_digest;          // name of the commit record
  Digest config_digest;            // Docker's image ID
  std::string manifest;            // exact bytes
  std::string config;              // exact bytes of the image configuration
  std::string media_type;          // of the manifest
  std::vector<LayerInfo> layers;   // lowest first
  uint64_t size_bytes = 0;         // sum over layers
  int64_t created_unix_nanos = 0;  // when the record was written
};

// A name for an image. Tags: "docker.io/library/nginx:1"; digests:
// "docker.io/library/nginx@sha256:..." (the digest that was pulled, possibly of an index).
struct Ref {
  std::string name;
  Digest manifest_digest;
  bool factory = false;  // of the factory store: cannot be removed, only given to another image
};

// What is known of an image without reading its record.
struct ImageKey {
  Digest manifest_digest;
  Digest config_digest;
  int64_t created_unix_nanos = 0;
};

// What to add for one image; the layers must have been ingested by the same Transaction or be in
// the store already.
struct ImageRecord {
  std::string manifest = {};
  std::string media_type = {};
  std::string config = {};
  std::vector<Digest> diff_ids = {};  // lowest first
};

// Told while a layer is taken in, at the latest after each 256 KiB and each entry; returns false to
// cancel (kCancelled). Empty: not told.
using IngestProgress = std::move_only_function<bool(uint64_t unpacked_bytes)>;

// Bytes given to the file system.
struct WriteCount {
  uint64_t content = 0;    // of objects
  uint64_t discarded = 0;  // of that: proved known afterwards
  uint64_t known = 0;      // not written, because the store had it
  uint64_t metadata = 0;   // indexes, archives, metadata images, records

  void Add(const WriteCount& more) {
    content += more.content;
    discarded += more.discarded;
    known += more.known;
    metadata += more.metadata;
  }
};

// One pull, load or build in progress. Destroying it without Commit removes everything it wrote
// that no image uses.
class Transaction {
 public:
  virtual ~Transaction() = default;
  // Unpacks one layer from `source` (compressed bytes; verified against `blob_digest`, `blob_size`
  // and `diff_id` where given; the result tells the diffID). A layer that the store has already is
  // not read when its diffID is given; from then on Collect spares it until this transaction is
  // destroyed. The content
  // decides about the compression when it contradicts the declared one, as in Docker. kCorrupt on
  // any mismatch; kInvalid on a hostile or malformed archive; kUnsupported above the zstd window;
  // kNoSpace; the source's own errors. Whatever fails leaves nothing behind but what can be gone on
  // with (LayerSource::start). Only one thread per transaction.
  struct LayerSource {
    BlobSource* source = nullptr;
    Compression compression = Compression::kNone;
    std::optional<Digest> blob_digest = {};
    std::optional<uint64_t> blob_size = {};
    std::optional<Digest> diff_id = {};  // absent: not known before, as in archives
    // Of `source`; null: it can be read from its beginning only. With it and both digests, a layer
    // whose taking in ends before its end, be it by a power cut, is gone on with by the next
    // transaction that adds it.
    BlobStart* start = nullptr;
  };
  virtual Result<LayerInfo> AddLayer(LayerSource layer, IngestProgress progress) = 0;

  // A layer of the form zstd:chunked with tar-split, as its manifest describes it.
  struct LayerParts {
    struct Part {
      uint64_t offset = 0;
      uint64_t size = 0;
      uint64_t unpacked = 0;
    };
    BlobRanges* ranges = nullptr;
    uint64_t blob_size = 0;
    Part toc = {};
    Digest toc_digest = {};  // compressed
    Part tar_split = {};
    Digest diff_id = {};
  };
  // As AddLayer, but fetches only what the store lacks. Nothing when the whole blob costs about as
  // much, which is then to be given to AddLayer; so it should be after kCorrupt, kInvalid and
  // kUnsupported.
  virtual Result<std::optional<LayerInfo>> AddLayerByParts(LayerParts layer,
                                                           IngestProgress progress) = 0;
  // Makes the image durable and visible, then sets `refs` to it (replacing what they named).
  // Returns the manifest digest. On an error no ref has changed and the image is not visible,
  // unless it was before or taking its record back fails too. kNotFound: a layer is missing.
  virtual Result<Digest> Commit(const ImageRecord& record,
                                const std::vector<std::string>& refs) = 0;
  virtual WriteCount written() const = 0;
};

struct CollectResult {
  std::vector<Digest> images;  // manifest digests whose records were removed
  std::vector<Digest> layers;  // diffIDs that went with them
  uint64_t freed_bytes = 0;    // on the file system
};

// Bytes on the disk.
struct ImageUsage {
  Digest manifest_digest;
  uint64_t size_bytes = 0;    // of all it needs
  uint64_t unique_bytes = 0;  // of what no other image needs
};
struct Usage {
  uint64_t total_bytes = 0;  // of the store, everything once
  std::vector<ImageUsage> images;
};

enum class DamageKind : uint8_t {
  kRefs,      // the names
  kRecord,    // img/<manifest digest>
  kIndex,     // layer/<diffID>.idx
  kArchive,   // layer/<diffID>.tar
  kMetadata,  // layer/<chainID>.erofs
  kTree,      // tree/<diffID>
  kObject,    // obj/
};

// One damaged or missing thing that an image needs.
struct Damage {
  DamageKind kind = DamageKind::kObject;
  Digest digest;               // what it is named by; none for the names
  std::string path;            // below the store's directory, or absolute in the factory store
  std::string what;            // "is missing", "has other content", ...
  std::vector<Digest> images;  // manifest digests of those that need it
};

struct CheckCount {
  uint64_t files = 0;
  uint64_t bytes = 0;  // read
  uint64_t damaged = 0;
};

// Both are called on the checking thread; false cancels (kCancelled).
class CheckSink {
 public:
  virtual ~CheckSink() = default;
  virtual bool OnDamage(const Damage& damage) = 0;
  // After each file and each piece of a large one.
  virtual bool OnProgress(const CheckCount& count) = 0;
};

enum class CheckDepth : uint8_t {
  kSizes,    // indexes are read, everything else is there and has its size
  kContent,  // everything is read
};

class Store {
 public:
  // Opens or creates the store, takes its lock (kBusy: another daemon uses it), drops damaged
  // records to quarantine and removes what an interrupted transaction left. Notices: sentences
  // about what was found and done, and why there is no factory store. Refuses only a lock that is
  // taken, a store of a newer version (kUnsupported), a directory that cannot be used (kDenied,
  // kUnsupported, ...), and a tier or fs-verity that is required and does not work here
  // (kUnsupported).
  static Result<std::unique_ptr<Store>> Open(const std::string& directory, const Options& options,
                                             std::vector<std::string>* notices);
  virtual ~Store() = default;

  // Must not outlive the store.
  virtual Result<std::unique_ptr<Transaction>> Begin() = 0;
  // kNoSpace when writing `needed_bytes` would leave less than Limits::reserve_bytes free: asked
  // before a pull with the sum of the declared sizes of the layers the store lacks.
  virtual Result<> CheckSpace(uint64_t needed_bytes) const = 0;
  virtual bool HasLayer(const Digest& diff_id) const = 0;
  virtual std::optional<LayerInfo> FindLayer(const Digest& diff_id) const = 0;

  // By manifest digest; nullptr when absent or no longer readable. Records are small and kept
  // parsed only while used.
  virtual std::shared_ptr<const Image> Find(const Digest& manifest_digest) const = 0;
  virtual std::vector<Digest> Images() const = 0;  // manifest digests
  virtual std::vector<ImageKey> Keys() const = 0;  // of all images, newest first
  virtual std::vector<Ref> Refs() const = 0;       // sorted by name
  // Whether an image is in the factory store alone: there is nothing of it to remove.
  virtual bool IsFactoryOnly(const Digest& manifest_digest) const = 0;
  virtual std::optional<Digest> Resolve(std::string_view ref_name) const = 0;

  // Durable when they return; on an error nothing has changed. SetRef: kNotFound without such an
  // image, kInvalid for a name that is empty, longer than 1024 bytes or has white space or control
  // characters; an image of the factory store becomes one of this store. RemoveRefs: unknown names
  // and those of the factory store are skipped; on a full file system it is durable after the next
  // Collect.
  virtual Result<> SetRef(const std::string& name, const Digest& manifest_digest) = 0;
  virtual Result<> RemoveRefs(const std::vector<std::string>& names) = 0;
  // Removes what interrupted pulls have left, and the records here of those `candidates` that have
  // no ref and are not in `in_use`, then every layer that no record and no open transaction needs,
  // and the objects only those had; objects wait for the end of layers that are being added. An
  // error leaves a valid store; calling again goes on.
  virtual Result<CollectResult> Collect(const std::set<Digest>& candidates,
                                        const std::set<Digest>& in_use) = 0;

  // By transactions since the store was opened.
  virtual WriteCount written() const = 0;
  // One stat for each file. What is added or removed meanwhile may be missing.
  virtual Result<Usage> Measure() const = 0;

  // Looks at everything the images need, beside all other operations. Memory: the largest index and
  // a few MiB. Changes nothing. Metadata images and directories that are absent are no damage: they
  // are made when they are needed.
  virtual Result<CheckCount> Check(CheckDepth depth, CheckSink& sink) = 0;
  // Takes what a Check has found out of use: damaged objects go to quarantine/, metadata images,
  // directories and names are made again. Layers that lack something then count as absent
  // (HasLayer) until AddLayer takes them in again, which writes just what is bad. Waits for layers
  // that are being added.
  virtual Result<> SetAside(const std::vector<Damage>& damages) = 0;
  // kCorrupt with the object, the cause and the remedy when something of the image is known to be
  // damaged; kNotFound without such an image.
  virtual Result<> Sound(const Digest& manifest_digest) const = 0;
  // Whether the store is as it was when it was last known to be whole: it has been stopped in
  // order, or checked since the boot, and no layer has been added after that.
  virtual bool IsUntouched() const = 0;
  // To be told when a check since the boot has found nothing. Also in a later process: a crash of
  // the daemon alone costs nothing that was written.
  virtual void SetChecked() = 0;
  // Whether an earlier repair has left something in quarantine.
  virtual bool HasQuarantine() const = 0;

  // Makes what the tier needs and is not there, as after a change of tier. kNotFound without such
  // an image; kUnsupported for one without layers.
  virtual Result<RootFs> Root(const Digest& manifest_digest) = 0;
  // The uncompressed archive of a layer, bit for bit, or kCorrupt at its end. Must not outlive the
  // store. kNotFound without such a layer.
  virtual Result<std::unique_ptr<ByteSource>> OpenLayer(const Digest& diff_id) = 0;
  // The uncompressed archive of another layer, made by applying `delta` (tar-diff; it must outlive
  // the result) to the files of the layer `from`. The reader compares it with the diffID. Must not
  // outlive the store nor a transaction that has added `from`. kNotFound without that layer; later
  // errors as TarDeltaSource (tar_delta.h).
  virtual Result<std::unique_ptr<ByteSource>> ApplyDelta(const Digest& from, ByteSource& delta) = 0;
  // Length of that archive in bytes. Reads its headers only.
  virtual Result<uint64_t> ArchiveSize(const Digest& diff_id) = 0;
  virtual Tier tier() const = 0;
  virtual bool has_verity() const = 0;
  virtual bool has_factory() const = 0;
  virtual const std::string& directory() const = 0;
};

}  // namespace wherry::store
