#include "ota/release_files.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::ota {

namespace {

constexpr uint32_t kDirMode = 0700;
constexpr uint32_t kFileMode = 0600;
constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kKeySuffix = ".pub";

}  // namespace

Result<std::vector<PublicKey>> LoadKeys(const std::string& directory) {
  std::vector<PublicKey> keys;
  Result<std::vector<std::string>> names = ListDir(directory);
  if (!names && names.error().code() == Errc::kNotFound)
    return keys;
  if (!names)
    return std::unexpected(std::move(names).error());
  std::ranges::sort(*names);
  for (const std::string& name : *names) {
    if (!name.ends_with(kKeySuffix))
      continue;
    PublicKey key = TRY(PublicKey::Load(Cat(directory, '/', name)));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<ReleaseFiles> ReleaseFiles::Open(std::string directory) {
  TRY(MakeDirs(directory, kDirMode));
  return ReleaseFiles(std::move(directory));
}

std::string ReleaseFiles::PathOf(const Digest& digest) const {
  return Cat(directory_, '/', digest.hex(), kSuffix);
}

Result<> ReleaseFiles::Keep(const Digest& digest, std::string_view envelope) {
  return ReplaceFile(PathOf(digest), envelope, kFileMode, Durability::kPersistent);
}

Result<Release> ReleaseFiles::Read(const Digest& digest) const {
  std::string path = PathOf(digest);
  std::string text = TRY(ReadFile(path, kMaxRelease));
  Envelope envelope = TRY(Envelope::Parse(text, path));
  if (Digest::Of(envelope.payload) != digest)
    return Fail(Errc::kCorrupt, Cat(path, " holds another release than its name says"));
  return Release::Parse(envelope.payload, path);
}

Result<> ReleaseFiles::Retain(const std::set<Digest>& digests) {
  for (const std::string& name : TRY(ListDir(directory_))) {
    std::string_view hex = name;
    if (hex.ends_with(kSuffix))
      hex.remove_suffix(kSuffix.size());
    Result<Digest> digest = Digest::ParseHex(hex);
    if (!digest || !digests.contains(*digest))
      TRY(RemoveTree(Cat(directory_, '/', name)));
  }
  return {};
}

}  // namespace wherry::ota
