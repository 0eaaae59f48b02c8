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

std::string ReleaseFiles::PathOf(const Digest& digest) const {
  return Cat(directory_, '/', digest.hex(), kSuffix);
}

Result<> ReleaseFiles::Keep(const Digest& digest, std::string_view envelope) {
  TRY(MakeDirs(directory_, kDirMode));
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

std::vector<Digest> ReleaseFiles::List() const {
  std::vector<Digest> digests;
  Result<std::vector<std::string>> names = ListDir(directory_);
  for (std::string_view name : names ? *names : std::vector<std::string>()) {
    if (!name.ends_with(kSuffix))
      continue;
    name.remove_suffix(kSuffix.size());
    if (Result<Digest> digest = Digest::ParseHex(name))
      digests.push_back(*digest);
  }
  return digests;
}

Result<> ReleaseFiles::Remove(const Digest& digest) {
  return RemoveTree(PathOf(digest));
}

}  // namespace wherry::ota
