// An archive of images, read once from start to end: its layers go into the store as they come, its
// documents are kept in memory. What belongs together is decided afterwards, because the documents
// often are last. Worker.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/byte_source.h"
#include "core/base/digest.h"
#include "core/base/result.h"
#include "store/store.h"
#include "store/tar_reader.h"

namespace wherry::engine {

class ArchiveParts {
 public:
  // Blobs are compared with the digests in their names. Layers are pinned by `transaction`.
  static Result<ArchiveParts> Read(ByteSource& archive, store::Store& store,
                                   store::Transaction& transaction);

  // Links are followed; `path` is clean (oci::CleanPath).
  bool Has(std::string_view path) const;
  // kInvalid: the archive does not have it, or why it is none. Valid while this lives.
  Result<std::string_view> Document(std::string_view path) const;
  // The diffID of a layer.
  Result<Digest> Layer(std::string_view path) const;

 private:
  class Content;
  ArchiveParts(store::Store& store, store::Transaction& transaction)
      : store_(store), transaction_(transaction) {}
  Result<> TakeAll(ByteSource& tar);
  Result<> Take(store::TarReader& reader, const store::TarEntry& entry);
  void TakeLink(const std::string& path, const store::TarEntry& entry);
  Result<> TakeFile(const std::string& path, Content& content);
  Result<> TakeDocument(const std::string& path, const std::optional<Digest>& blob,
                        Content& content);
  Result<> TakeLayer(const std::string& path, const std::optional<Digest>& blob, Content& content);
  void Forget(const std::string& path);
  std::string Follow(std::string_view path) const;
  std::unexpected<Error> Missing(std::string_view path, const std::string& followed) const;

  store::Store& store_;
  store::Transaction& transaction_;
  uint64_t document_bytes_ = 0;
  std::map<std::string, std::string> documents_;
  std::map<std::string, Digest> layers_;
  std::map<std::string, std::string> links_;
  std::map<std::string, std::string> others_;  // and why they are neither
};

}  // namespace wherry::engine
