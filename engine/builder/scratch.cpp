#include "engine/builder/scratch.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kContainer = "container-";
constexpr std::string_view kImage = "image-";
constexpr size_t kIdDigits = 12;

// The journal matters after the end of the daemon, not after that of the machine: what a power cut
// takes from it, it takes from what it names, or that stays as an image without name.
Result<> Note(const std::string& path) {
  TRY(Open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  return {};
}

}  // namespace

Result<Scratch> Scratch::Make(const std::string& root) {
  Scratch scratch(Cat(root, "/", RandomId().substr(0, kIdDigits)));
  TRY(MakeDirs(scratch.directory_, 0700));
  TRY(MakeDirs(scratch.At("context"), 0755));
  return scratch;
}

std::string Scratch::At(std::string_view name) const {
  return Cat(directory_, "/", name);
}

Result<> Scratch::NoteContainer(const std::string& name) const {
  return Note(At(Cat(kContainer, name)));
}

Result<> Scratch::NoteImage(const Digest& id) const {
  return Note(At(Cat(kImage, id.hex())));
}

void Scratch::Forget(const Digest& id) const {
  (void)unlink(At(Cat(kImage, id.hex())).c_str());
}

Result<Scratch::Noted> Scratch::Read() const {
  Noted noted;
  for (const std::string& name : TRY(ListDir(directory_))) {
    std::string_view rest = name;
    if (rest.starts_with(kContainer)) {
      noted.containers.emplace_back(rest.substr(kContainer.size()));
    } else if (rest.starts_with(kImage)) {
      if (auto id = Digest::ParseHex(rest.substr(kImage.size())))
        noted.images.push_back(*id);
    }
  }
  return noted;
}

Result<> Scratch::ClearUpper() const {
  for (std::string_view name : {"upper", "work", "base"})
    TRY(RemoveTree(At(name)));
  return {};
}

Result<> Scratch::Remove() const {
  return RemoveTree(directory_);
}

}  // namespace wherry::engine
