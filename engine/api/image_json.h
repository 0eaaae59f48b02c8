// Images as Docker's API shows them.
#pragma once

#include <map>
#include <string>

#include "core/base/json.h"
#include "engine/images.h"

namespace wherry::engine::api {

// One element of GET /images/json.
// As its configuration says, nanoseconds since 1970; 0: it does not.
int64_t ImageCreated(const ImageSummary& summary);
struct ImageSize {
  uint64_t total = 0;  // on the disk
  uint64_t shared = 0;
  size_t containers = 0;
};
// `size` null: Docker's "not calculated".
void WriteImageSummary(JsonWriter& json, const ImageSummary& summary,
                       const ImageSize* size = nullptr);
// GET /images/{name}/json.
// What the image was made by, the last step first: Docker's history.
Result<std::string> ImageHistoryJson(const ImageSummary& summary);
Result<std::string> ImageInspectJson(const ImageSummary& summary);
// Labels of the image's configuration; empty when it cannot be read.
std::map<std::string, std::string> ImageLabels(const ImageSummary& summary);
// GET /wherry/v1/pull/plan.
std::string PullPlanJson(const PullPlan& plan);
// One message of a pull, with Docker's line end.
std::string ProgressLine(const Progress& progress);

}  // namespace wherry::engine::api
