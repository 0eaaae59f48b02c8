// The signed documents of the releases a device has or had last, by digest. They were verified when
// they came. When they are read only the digest is compared: a device whose keys were changed goes
// on with what it runs. One thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "ota/key.h"
#include "ota/release.h"

namespace wherry::ota {

// All "*.pub" of a directory, sorted by name. A directory that is not there has none; a file that
// is no key is an error that names it.
Result<std::vector<PublicKey>> LoadKeys(const std::string& directory);

class ReleaseFiles {
 public:
  // `directory` is made by the first Keep.
  explicit ReleaseFiles(std::string directory) : directory_(std::move(directory)) {}

  // Durable when it returns.
  Result<> Keep(const Digest& digest, std::string_view envelope);
  // kNotFound, kCorrupt.
  Result<Release> Read(const Digest& digest) const;
  // All that are there, readable or not; none when they cannot be listed.
  std::vector<Digest> List() const;
  Result<> Remove(const Digest& digest);

 private:
  std::string PathOf(const Digest& digest) const;

  std::string directory_;
};

}  // namespace wherry::ota
