// The directory of one build, <root>/build/<id>: its context, the directories its instructions
// write to, and a journal of the containers and images it makes on the way, so that a daemon that
// was killed removes them when it starts again. Worker.
//   context/              the build context
//   upper/ work/ base/    of the instruction that is carried out
//   container-<name>      to be removed
//   image-<64 hex>        an image ID, to be removed unless it has a name
#pragma once

#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::engine {

class Scratch {
 public:
  // A new one below `root`.
  static Result<Scratch> Make(const std::string& root);
  // One that another daemon has left.
  explicit Scratch(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string At(std::string_view name) const;
  std::string id() const { return directory_.substr(directory_.rfind('/') + 1); }

  // Before what they name is made.
  Result<> NoteContainer(const std::string& name) const;
  Result<> NoteImage(const Digest& id) const;
  // What is named is to stay, or gone.
  void Forget(const Digest& id) const;
  struct Noted {
    std::vector<std::string> containers;
    std::vector<Digest> images;
  };
  Result<Noted> Read() const;

  // Empty upper/, work/ and base/.
  Result<> ClearUpper() const;
  Result<> Remove() const;

 private:
  std::string directory_;
};

}  // namespace wherry::engine
