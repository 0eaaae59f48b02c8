// Making an image here: layers from what a container or a build has changed, a configuration, and
// names. Worker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "engine/images.h"
#include "store/overlay_changes.h"

namespace wherry::engine {

struct WrittenImage {
  Digest id;
  Digest manifest;
  bool fresh = false;  // it was not here before
  std::shared_ptr<ImagePin> pin;
};

class ImageWriter {
 public:
  // kBusy when too many transfers run. What is not committed goes with the writer. `cancel` is also
  // set by Images::CancelTransfers.
  static Result<std::unique_ptr<ImageWriter>> Begin(Images& images, CancelFlag cancel);
  ~ImageWriter();
  ImageWriter(const ImageWriter&) = delete;
  ImageWriter& operator=(const ImageWriter&) = delete;

  // The changes as a layer of the store; nothing when there are none.
  Result<std::optional<Digest>> AddLayer(store::OverlayChanges changes);
  // A tar archive as a layer, plain or compressed.
  Result<Digest> AddLayer(ByteSource& archive);
  // `config` is the JSON of the image's configuration, `layers` those it names, lowest first.
  Result<WrittenImage> Commit(const std::string& config, const std::vector<Digest>& layers,
                              const std::vector<registry::Reference>& names);

 private:
  ImageWriter(Images& images, CancelFlag cancel) : images_(images), cancel_(std::move(cancel)) {}
  std::optional<Digest> FindSame(const Digest& id) const;

  Images& images_;
  CancelFlag cancel_;
  std::unique_ptr<store::Transaction> transaction_;
};

}  // namespace wherry::engine
