// What COPY and ADD take: found in the build context or in another root file system, told apart by
// content for the cache, and put into the root file system that is built. Both trees are hostile;
// everything is reached by descriptor. Worker.
#pragma once

#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "engine/build/dockerfile.h"
#include "engine/build/instruction.h"
#include "engine/builder/tree_copy.h"
#include "store/store.h"

namespace wherry::engine {

struct CopyOptions {
  std::string_view instruction = "COPY";
  OwnersCount owners = OwnersCount::kNo;  // kYes: those of the source stay
  bool unpack = false;                    // archives are taken apart
};

struct CopyTarget {
  int root = -1;           // of what is built
  std::string path;        // absolute, clean
  bool directory = false;  // as written it can be nothing else: "dir/", "."
  CopyMetadata metadata;
  store::Limits limits;
};

class CopySources {
 public:
  // `root` is the context or a root file system. kInvalid in Docker's words: nothing is there, or a
  // path leads out.
  static Result<CopySources> Find(int root, const build::Sources& sources,
                                  const CopyOptions& options);

  // For history and cache: "file:<hex>", "dir:<hex>", "multi:<hex>".
  Result<std::string> Text() const;
  Result<> CopyTo(const CopyTarget& target) const;

 private:
  struct Item {
    std::string path;
    bool directory;
    std::string name;  // last component of the path
  };
  explicit CopySources(const CopyOptions& options) : options_(options) {}

  Result<> Add(const std::string& path, const std::string& written);
  Result<UniqueFd> Open(const Item& item) const;
  Result<> CopyItem(const Item& item, const CopyTarget& target, bool into_directory) const;
  Result<bool> TryUnpack(int file_fd, const CopyTarget& target) const;

  CopyOptions options_;
  UniqueFd root_;
  std::vector<Item> items_;
  std::vector<build::Heredoc> files_;
};

// "user", "user:group", numbers: of the root file system `root`. As Docker, a user alone is a group
// of that name, too.
Result<std::pair<uint32_t, uint32_t>> ResolveOwner(const std::string& text, int root);

}  // namespace wherry::engine
