// The cache of a build: the images that are here. An image begins with the result of an instruction
// when its layers and its history begin with what the build has so far, and the history goes on
// with what the instruction would write. Nothing else is kept, and what removes images empties the
// cache. Worker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "engine/build/image_state.h"
#include "engine/images.h"

namespace wherry::engine {

class BuildCache {
 public:
  // Of no images: nothing is found.
  BuildCache() = default;
  // Those that begin with `base`.
  BuildCache(Images& images, const build::ImageState& base);

  struct Hit {
    std::string created;
    std::optional<Digest> layer;
  };
  // The instruction after those found so far; `text` is its history. After the first miss nothing
  // is found any more.
  std::optional<Hit> Find(std::string_view text);

 private:
  struct Candidate {
    std::shared_ptr<ImagePin> pin;
    std::vector<Digest> layers;
    std::vector<build::HistoryEntry> history;
  };
  static bool Begins(const build::ImageState& image, const build::ImageState& base);

  std::vector<Candidate> candidates_;
  std::shared_ptr<ImagePin> pin_;  // of the image that had the last of what was found
  size_t layers_ = 0;              // so many are found
  size_t entries_ = 0;             // of the history
};

}  // namespace wherry::engine
