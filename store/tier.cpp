#include "store/tier.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/sys/mount.h"
#include "store/erofs_writer.h"
#include "store/layer_tree.h"
#include "store/objects.h"
#include "store/space.h"

namespace wherry::store {

namespace {

constexpr const char* kProbe = "probe";
constexpr std::string_view kContent = "wherry";

// A store of one file, with the directories an overlay needs.
Result<> MakeProbe(const std::string& path) {
  Digest digest = Digest::Of(kContent);
  LayerTree tree;
  TarEntry entry;
  entry.name = "file";
  entry.mode = 0644;
  entry.size = kContent.size();
  auto file = TRY(tree.Add(entry));
  tree.SetObject(*file, digest);
  tree.HideObjects();
  tree.Seal();
  for (const char* name : {"lower", "upper", "work", "root"})
    TRY(MakeDirs(Cat(path, "/", name), 0700));
  UniqueFd image = TRY(Open(Cat(path, "/image"), O_RDWR | O_CREAT | O_EXCL, 0600));
  TRY(WriteErofs(tree, image.get()));
  std::string object = Cat(path, "/obj/", ObjectPath(digest));
  TRY(MakeDirs(SplitPath(object).dir, 0700));
  UniqueFd content = TRY(Open(object, O_WRONLY | O_CREAT | O_EXCL, 0400));
  return WriteAll(content.get(), kContent, object);
}

// On a thread of its own, whose mount namespace ends with it.
Result<> Try(Tier tier, const std::string& path) {
  TRY(sys::EnterPrivateMountNamespace());
  UniqueFd target = TRY(Open(Cat(path, "/root"), O_PATH | O_DIRECTORY));
  if (tier == Tier::kDirectories) {
    TRY(sys::MountOverlay({.lower = {Cat(path, "/lower")},
                           .image = {},
                           .upper = Cat(path, "/upper"),
                           .work = Cat(path, "/work"),
                           .is_volatile = true},
                          target.get()));
    return {};
  }
  UniqueFd mount = TRY(sys::MountErofsImage(Cat(path, "/image")));
  sys::OverlayOptions options{
      .lower = {},
      .image = sys::MetadataImage{mount.get(), {Cat(path, "/obj")}, tier == Tier::kImageDataOnly},
      .upper = Cat(path, "/upper"),
      .work = Cat(path, "/work"),
      .is_volatile = true};
  UniqueFd root = TRY(sys::MountOverlay(options, target.get()));
  std::string content = TRY(ReadFileAt(root.get(), "file", kContent.size()));
  if (content != kContent)
    return Fail(Errc::kUnsupported, "a file of the image reads wrong");
  std::string group(1, kObjectGroups[ObjectGroup(Digest::Of(kContent))]);
  if (faccessat(root.get(), group.c_str(), F_OK, 0) == 0)
    return Fail(Errc::kUnsupported, "the objects show in the image");
  return {};
}

Result<> Probe(Tier tier, int scratch, const std::string& path) {
  TRY(RemoveTreeAt(scratch, kProbe));
  ScopeExit cleanup([&] { (void)RemoveTreeAt(scratch, kProbe); });
  std::string directory = Cat(path, "/", kProbe);
  TRY(MakeProbe(directory));
  Result<> result;
  std::thread([&] { result = Try(tier, directory); }).join();
  return result;
}

// Other reasons, such as missing privileges or an absent module, are told when a container starts.
bool RefusesFileSystem(const Error& error) {
  return error.error_number() == EINVAL;
}

}  // namespace

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kImageDataOnly:
      return "A1";
    case Tier::kImage:
      return "A2";
    case Tier::kDirectories:
      return "B";
  }
  return "";
}

Result<std::optional<Tier>> ParseTier(std::string_view name) {
  for (Tier tier : {Tier::kImageDataOnly, Tier::kImage, Tier::kDirectories}) {
    if (TierName(tier) == name)
      return tier;
  }
  if (name.empty() || name == "auto")
    return std::nullopt;
  return Fail(Errc::kInvalid, Cat("'", name, "' is none of auto, A1, A2, B"));
}

Result<Tier> ChooseTier(std::optional<Tier> wanted, int scratch, const std::string& path) {
  for (Tier tier : {Tier::kImageDataOnly, Tier::kImage, Tier::kDirectories}) {
    if (wanted && *wanted != tier)
      continue;
    auto works = Probe(tier, scratch, path);
    if (works)
      return tier;
    if (tier == Tier::kDirectories && RefusesFileSystem(works.error())) {
      return Fail(Errc::kUnsupported,
                  Cat("overlayfs does not accept the file system of ", SplitPath(path).dir,
                      "; it may have the feature casefold", kFileSystemRemedy));
    }
    if (tier == Tier::kDirectories)
      return tier;
    if (wanted) {
      return Fail(Errc::kUnsupported,
                  Cat("tier ", TierName(tier), " of the store does not work here: ",
                      works.error().message(), "; set 'tier = auto' in [store]"));
    }
  }
  return Tier::kDirectories;
}

}  // namespace wherry::store
