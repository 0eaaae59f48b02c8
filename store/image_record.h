// The commit record of an image: a file in img/ named by the hex of the manifest's digest. Its
// presence means that the image is complete and durable. Format in docs/store.md; pure text and
// bytes here, no file system.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "store/store.h"

namespace wherry::store {

// Longer records are damage: manifests and configurations are limited to 4 MiB and 8 MiB on the way
// in.
inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 8 << 20;
inline constexpr size_t kMaxRecordBytes = 16 << 20;

struct StoredRecord {
  Image image;
  // The names that were set together with the record: only to find them again should the refs file
  // be lost.
  std::vector<std::string> refs;
};

std::string EncodeRecord(const StoredRecord& record);

// kCorrupt unless checksum, structure and the manifest's digest (`name` is the file name) are
// right.
Result<StoredRecord> DecodeRecord(std::string_view content, const Digest& name);

// Both store formats begin with a line "<what> 1 sha256:<hex of all that follows>\n".
std::string WithChecksum(std::string_view what, std::string_view body);
// The body after such a line; kCorrupt otherwise.
Result<std::string_view> CheckChecksum(std::string_view what, std::string_view content);

}  // namespace wherry::store
