#include "engine/builder/build_cache.h"

#include <algorithm>

namespace wherry::engine {

namespace {

bool Same(const build::HistoryEntry& a, const build::HistoryEntry& b) {
  return a.created == b.created && a.created_by == b.created_by && a.empty_layer == b.empty_layer;
}

}  // namespace

bool BuildCache::Begins(const build::ImageState& image, const build::ImageState& base) {
  const auto& layers = base.config.diff_ids;
  return image.config.diff_ids.size() >= layers.size() &&
         image.history.size() > base.history.size() &&
         std::equal(layers.begin(), layers.end(), image.config.diff_ids.begin()) &&
         std::equal(base.history.begin(), base.history.end(), image.history.begin(), Same);
}

BuildCache::BuildCache(Images& images, const build::ImageState& base)
    : layers_(base.config.diff_ids.size()), entries_(base.history.size()) {
  images.ForEach([&](const ImageSummary& summary) {
    auto state = build::ParseImageState(summary.image->config);
    if (state && Begins(*state, base)) {
      candidates_.push_back({images.Pin(summary.image->manifest_digest),
                             std::move(state->config.diff_ids), std::move(state->history)});
    }
  });
}

std::optional<BuildCache::Hit> BuildCache::Find(std::string_view text) {
  auto goes_on = [&](const Candidate& candidate) {
    if (candidate.history.size() <= entries_)
      return false;
    const build::HistoryEntry& entry = candidate.history[entries_];
    return entry.created_by == text && (entry.empty_layer || candidate.layers.size() > layers_);
  };
  auto found = std::find_if(candidates_.begin(), candidates_.end(), goes_on);
  if (found == candidates_.end()) {
    candidates_.clear();
    return std::nullopt;
  }
  pin_ = found->pin;
  build::HistoryEntry entry = found->history[entries_];
  Hit hit{entry.created, std::nullopt};
  if (!entry.empty_layer)
    hit.layer = found->layers[layers_];
  std::erase_if(candidates_, [&](const Candidate& candidate) {
    return candidate.history.size() <= entries_ || !Same(candidate.history[entries_], entry) ||
           (hit.layer &&
            (candidate.layers.size() <= layers_ || candidate.layers[layers_] != *hit.layer));
  });
  ++entries_;
  layers_ += hit.layer ? 1 : 0;
  return hit;
}

}  // namespace wherry::engine
