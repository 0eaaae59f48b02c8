// Images as Docker's API shows them.
#pragma once

#include <map>
#include <string>

#include "core/base/json.h"
#include "engine/images.h"

namespace wherry::engine::api {

// One element of GET /images/json.
void WriteImageSummary(JsonWriter& json, const ImageSummary& summary);
// GET /images/{name}/json.
Result<std::string> ImageInspectJson(const ImageSummary& summary);
// Labels of the image's configuration; empty when it cannot be read.
std::map<std::string, std::string> ImageLabels(const ImageSummary& summary);
// One message of a pull, with Docker's line end.
std::string ProgressLine(const Progress& progress);

}  // namespace wherry::engine::api
