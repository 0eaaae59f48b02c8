// The engine's images: names to images, pull, list, inspect, tag and remove. Joins net/registry
// (network) and store (flash). Thread-safe. Calls marked "worker" block on disk or network and must
// not run on the loop thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"
#include "engine/image_trust.h"
#include "engine/store_check.h"
#include "net/registry/credentials.h"
#include "net/registry/options.h"
#include "net/registry/reference.h"
#include "store/store.h"

namespace wherry::engine {

// Which images are in use, by manifest digest. Any thread. Shared by Images and all pins, so that
// either may end first.
class PinTable {
 public:
  void Add(const Digest& manifest_digest);
  void Drop(const Digest& manifest_digest);
  std::set<Digest> All() const;

 private:
  mutable std::mutex mutex_;
  std::map<Digest, int> counts_;
};

// Keeps an image's layers from being removed for as long as it lives: one per container, and one
// per operation on the image.
class ImagePin {
 public:
  ImagePin(std::shared_ptr<PinTable> table, const Digest& manifest_digest);
  ~ImagePin();
  ImagePin(const ImagePin&) = delete;
  ImagePin& operator=(const ImagePin&) = delete;

 private:
  std::shared_ptr<PinTable> table_;
  Digest manifest_digest_;
};

// An image found by name, ready to run.
struct OpenImage {
  std::string name;  // as the user wrote it
  Digest id;         // digest of the configuration: Docker's image ID
  Digest manifest_digest;
  oci::ImageConfig config;
  std::shared_ptr<ImagePin> pin;
};

// One line of pull progress, in Docker's words ("Downloading", "Pull complete", ...). `total` 0: no
// bar.
struct Progress {
  std::string status;
  std::string id;  // short layer digest, or the tag; may be empty
  uint64_t current = 0;
  uint64_t total = 0;
};
// Called on the worker; false cancels the pull.
using ProgressSink = std::move_only_function<bool(const Progress&)>;

// Set to end what it belongs to.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct PullRequest {
  registry::Reference reference;
  std::optional<std::string> platform;  // "linux/arm64"; empty: this machine
  registry::Credentials credentials;
  CancelFlag cancel;  // set by the caller to end the pull; may be null
};

struct PushRequest {
  registry::Reference reference;
  bool all_tags = false;  // of the repository, in place of the reference's
  registry::Credentials credentials;
  CancelFlag cancel;  // set by the caller to end the push; may be null
};

// A tag as the registry has it now.
struct PushedTag {
  std::string tag;
  Digest digest;  // of the manifest
  uint64_t size = 0;
};

// Takes the pieces of an archive in their order, on the worker. An error ends the save.
using ByteSink = std::move_only_function<Result<>(std::string_view)>;

struct FactoryExport {
  std::string directory;  // absolute; made when it is missing
  std::vector<std::string> images;
  std::optional<store::Tier> tier;  // absent: the best that works there
  CancelFlag cancel;                // set by CancelTransfers too
};
using StatusSink = std::function<void(std::string_view)>;

// What came of one image of an archive.
struct LoadedImage {
  Digest id;
  std::vector<std::string> names;  // familiar; empty: the archive has none for it
  // Names that other images had before, with their IDs.
  std::vector<std::pair<std::string, Digest>> taken;
};

// What a pull would do.
struct PullPlan {
  struct Layer {
    std::string id;  // short digest
    uint64_t size = 0;
    bool here = false;
  };
  bool known = false;  // the whole image is here
  std::vector<Layer> layers;
  uint64_t download_bytes = 0;
  uint64_t write_bytes = 0;  // an estimate, and also the peak: nothing temporary is written
  std::string refusal;       // why it does not fit; empty: it does
};

// A container that uses an image, as remove needs to know it.
struct ImageUser {
  Digest manifest_digest;
  std::string container_id;
  bool running = false;
};

struct RemoveResult {
  std::vector<std::string> untagged;  // familiar names
  std::vector<Digest> deleted;        // image IDs and layers
};

struct PruneResult {
  RemoveResult removed;
  uint64_t freed_bytes = 0;
};

struct ImageSummary {
  std::shared_ptr<const store::Image> image;
  std::vector<std::string> repo_tags;     // familiar: "nginx:1"
  std::vector<std::string> repo_digests;  // "nginx@sha256:..."
};

class Images {
 public:
  // `pressure`: see Pace; empty: pulls and loads do not make room for others.
  Images(store::Store* store, const registry::Options& registry_options,
         const SignaturePolicy& signatures = {}, std::string pressure = {});
  ~Images();

  // Worker. Name, name@digest, image ID or unique ID prefix ("sha256:" optional). kNotFound "No
  // such image: x".
  Result<OpenImage> Open(std::string_view name);
  // Any thread.
  std::shared_ptr<ImagePin> Pin(const Digest& manifest_digest);
  // Worker. Of an image a container has pinned.
  Result<store::RootFs> Root(const Digest& manifest_digest);
  const store::Store& store() const { return *store_; }
  // Worker. Pulls and commits (pull.cpp); finding the image complete already is success without a
  // download.
  Result<Digest> Pull(PullRequest request, ProgressSink progress);
  // Worker. Asks the registry; writes nothing.
  Result<PullPlan> Plan(PullRequest request);
  // Worker. Uploads what the registry lacks, the manifest last (push.cpp). kNotFound without such a
  // tag here.
  Result<std::vector<PushedTag>> Push(PushRequest request, ProgressSink progress);
  // Any thread.
  store::WriteCount written() const { return store_->written(); }
  // Worker. Writes an archive of images that is both an OCI layout and Docker's (image_save.cpp). A
  // name without tag stands for all of its tags. Errors before the first byte wherever possible.
  // `cancel` is set by CancelTransfers; sink and source then have to end.
  Result<> Save(const std::vector<std::string>& names, ByteSink sink, const CancelFlag& cancel);
  // Worker. Takes in all images of an archive, OCI layout or Docker's, itself compressed or not
  // (image_load.cpp). An error leaves nothing, unless it is one of writing down the later of
  // several images.
  Result<std::vector<LoadedImage>> Load(ByteSource& archive, const CancelFlag& cancel);
  // Worker. Takes exactly these images, named by digest, for this machine; the archive has to have
  // all of them, and a good signature along for each that the policy wants one of (kDenied).
  // Otherwise as Load.
  Result<> LoadPinned(ByteSource& archive, const std::vector<registry::Reference>& images,
                      const CancelFlag& cancel);
  // Worker. Copies images with their names to a store directory that becomes a factory store
  // (factory_export.cpp). What has been copied before an error stays.
  Result<> ExportFactory(const FactoryExport& request, StatusSink tell);
  // Saves, loads and other archives at a time; kBusy beyond.
  static constexpr size_t kMaxArchives = 6;
  // One of them that is nobody's image, for as long as the result lives. `cancel` is set by
  // CancelTransfers.
  Result<std::shared_ptr<void>> BeginArchive(const CancelFlag& cancel);
  // Any thread: running pulls, checks, saves and loads end with kCancelled within a second, and no
  // new one begins. For the end of the daemon.
  void CancelTransfers();
  // Worker. engine/store_check.h; ends with kCancelled as pulls do.
  Result<CheckReport> CheckStore(CheckRequest request, CheckListener& listener);
  // Worker. See engine/store_check.h.
  Result<> CheckSizes();
  // Worker. The image with its names, or kNotFound.
  Result<ImageSummary> Inspect(std::string_view name);
  // Worker. Tells all images, newest first, one after the other: together they may be large.
  void ForEach(const std::function<void(const ImageSummary&)>& use);
  // Any thread.
  size_t Count() const { return store_->Images().size(); }
  // Worker.
  Result<> Tag(std::string_view name, const registry::Reference& new_name);
  enum class Force : uint8_t { kNo, kYes };
  Result<RemoveResult> Remove(std::string_view name, Force force,
                              const std::vector<ImageUser>& users);
  // Worker. Removes those `images`, all their names included, that nothing uses.
  Result<PruneResult> Prune(const std::set<Digest>& images);
  // Worker.
  Result<store::Usage> Measure() { return store_->Measure(); }
  // Worker. Checks user and password against the registry.
  Result<> CheckLogin(std::string_view host, const registry::Credentials& credentials);

 private:
  friend class SaveJob;
  friend class ImageWriter;
  enum class TransferKind : uint8_t { kPull, kArchive };
  // Makes `cancel` one of the flags that CancelTransfers sets. kCancelled at the end of the daemon,
  // kBusy beyond kMaxArchives.
  Result<> BeginTransfer(const CancelFlag& cancel, TransferKind kind);
  void EndTransfer(const CancelFlag& cancel, TransferKind kind);
  struct Found {
    std::shared_ptr<const store::Image> image;
    std::optional<std::string> ref;  // the reference that named it; absent when found by ID
  };
  Result<Found> Find(std::string_view name);
  Result<Found> FindById(std::string_view name, std::string_view prefix);
  Result<std::vector<PushedTag>> PushTags(PushRequest& request, ProgressSink& sink);
  Result<> MayRemove(std::string_view name, const Found& found, size_t names, Force force,
                     const std::vector<ImageUser>& users);
  ImageSummary Summarise(std::shared_ptr<const store::Image> image,
                         const std::vector<store::Ref>& refs);

  store::Store* store_;
  registry::Options registry_options_;
  SignaturePolicy signatures_;
  const std::string pressure_;
  std::shared_ptr<PinTable> pins_ = std::make_shared<PinTable>();
  std::mutex mutex_;
  std::set<CancelFlag> transfers_;  // of those that are running, guarded
  size_t archives_ = 0;             // of these, guarded
  std::atomic<bool> cancelled_ = false;
};

}  // namespace wherry::engine
