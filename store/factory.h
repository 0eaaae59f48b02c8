// The factory store: images a device comes with, in a store directory on a read-only file system.
// It is never written to; what it has need not be in the device's own store (docs/store.md,
// "Factory store").
#pragma once

#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "store/refs.h"
#include "store/store.h"

namespace wherry::store {

struct Factory {
  std::string prefix;  // of its paths in messages: its directory and "/"
  UniqueFd objects;    // obj/
  UniqueFd layer;      // layer/
  UniqueFd tree;       // tree/; none in one that was made for tier A
  UniqueFd img;        // img/
  RefMap refs;
  std::vector<Image> images;  // without manifest and configuration
  std::string id;             // changes with the images
};

// Notices: sentences about images and names that are left out because they are damaged. kNotFound,
// kUnsupported (of a newer version) and system errors: it cannot be used.
Result<Factory> OpenFactory(const std::string& directory, std::vector<std::string>& notices);

}  // namespace wherry::store
