// What a container has changed, and an image made of it: docker diff and docker commit. Worker; the
// caller keeps the container from being removed or started meanwhile (Containers::Lock).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/build/image_state.h"
#include "engine/container.h"
#include "engine/image_writer.h"
#include "engine/images.h"
#include "store/overlay_changes.h"

namespace wherry::engine {

// What of a container is looked at, without touching what the loop owns.
struct ChangedContainer {
  std::string directory;
  Digest image_id;
  Digest manifest;
  std::shared_ptr<const ContainerConfig> config;
  std::shared_ptr<ImagePin> pin;
};
ChangedContainer ChangesOf(const Container& container);

// Nothing for a container that was never started.
Result<std::optional<store::OverlayChanges>> OpenContainerChanges(
    Images& images, const ChangedContainer& container);

// An image's configuration after instructions of a Dockerfile that change only it. kInvalid for
// others, in Docker's words.
Result<build::ImageState> ApplyChanges(build::ImageState state,
                                       const std::vector<std::string>& changes);

struct CommitRequest {
  std::optional<registry::Reference> name;
  std::string comment;
  std::string author;
  std::vector<std::string> changes;  // lines of a Dockerfile
};
// kInvalid for changes that are none, in Docker's words.
Result<WrittenImage> CommitContainer(Images& images, const ChangedContainer& container,
                                     const CommitRequest& request, const CancelFlag& cancel);

}  // namespace wherry::engine
