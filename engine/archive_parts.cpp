#include "engine/archive_parts.h"

#include <algorithm>
#include <cstring>

#include "core/base/text.h"
#include "core/oci/archive_spec.h"
#include "store/decompress.h"
#include "store/tar_header.h"

namespace wherry::engine {

namespace {

constexpr uint64_t kMaxEntries = 20'000;
constexpr size_t kMaxDocument = oci::kMaxManifestBytes;
constexpr uint64_t kMaxDocuments = uint64_t{16} << 20;
constexpr size_t kMaxLinks = 40;  // followed in a row
constexpr size_t kProbe = store::kTarBlock;
constexpr std::string_view kBlobPrefix = "blobs/sha256/";

std::optional<Digest> BlobDigest(std::string_view path) {
  if (!path.starts_with(kBlobPrefix))
    return std::nullopt;
  auto digest = Digest::ParseHex(path.substr(kBlobPrefix.size()));
  return digest ? std::optional<Digest>(*digest) : std::nullopt;
}

bool LooksLikeTar(std::string_view probe) {
  return probe.size() == kProbe &&
         (store::IsZeroBlock(probe) || store::DecodeTarHeader(probe).has_value());
}

bool LooksCompressed(std::string_view probe) {
  constexpr std::string_view kGzip("\x1f\x8b\x08", 3);
  constexpr std::string_view kZstd("\x28\xb5\x2f\xfd", 4);
  constexpr std::string_view kZstdSkippable("\x2a\x4d\x18", 3);  // after 0x50 to 0x5f
  bool skippable = probe.size() >= 4 && (static_cast<uint8_t>(probe[0]) & 0xf0) == 0x50 &&
                   probe.substr(1).starts_with(kZstdSkippable);
  return probe.starts_with(kGzip) || probe.starts_with(kZstd) || skippable;
}

bool LooksLikeJson(std::string_view probe) {
  std::string_view text = Trim(probe);
  return !text.empty() && (text[0] == '{' || text[0] == '[');
}

// Compressions that Docker reads and wherry does not.
std::string_view ForeignCompression(std::string_view probe) {
  if (probe.starts_with(std::string_view("\xfd"
                                         "7zXZ\0",
                                         6)))
    return "xz";
  return probe.starts_with("BZh") ? "bzip2" : "";
}

std::string UnsupportedCompression(std::string_view name) {
  return Cat("it is compressed with ", name, ", which is not supported; use gzip or zstd");
}

// "a/layer.tar" + "../b/layer.tar" -> "b/layer.tar"; empty: out of the archive.
std::string ResolveLink(std::string_view from, std::string_view target) {
  if (target.starts_with('/'))
    return {};
  std::vector<std::string_view> parts = Split(from, '/');
  parts.pop_back();
  for (std::string_view part : Split(target, '/')) {
    if (part.empty() || part == ".")
      continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.empty()) {
      return {};
    } else {
      parts.pop_back();
    }
  }
  std::string path;
  for (std::string_view part : parts)
    Append(path, path.empty() ? "" : "/", part);
  return path;
}

// The content of the reader's current entry. Holes of sparse files come as the zeros they read as.
class EntrySource final : public ByteSource {
 public:
  EntrySource(store::TarReader& reader, uint64_t size) : reader_(reader), size_(size) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    if (position_ == size_)
      return 0;
    if (piece_.bytes.empty())
      piece_ = TRY(reader_.Data());
    uint64_t begin = piece_.bytes.empty() ? size_ : piece_.offset;
    bool hole = position_ < begin;
    uint64_t left = hole ? begin - position_ : piece_.bytes.size();
    auto count = static_cast<size_t>(std::min<uint64_t>(left, out.size()));
    if (hole) {
      memset(out.data(), 0, count);
    } else {
      memcpy(out.data(), piece_.bytes.data(), count);
      piece_.bytes = piece_.bytes.subspan(count);
      piece_.offset += count;
    }
    position_ += count;
    return count;
  }

 private:
  store::TarReader& reader_;
  const uint64_t size_;
  store::TarReader::Piece piece_;
  uint64_t position_ = 0;
};

}  // namespace

// A source whose first block may be looked at before.
class ArchiveParts::Content final : public ByteSource {
 public:
  Content(ByteSource& inner, uint64_t size) : inner_(inner), size_(size) {}

  Result<> Open() {
    probe_.resize(kProbe);
    size_t have = 0;
    for (size_t count = 1; count > 0 && have < kProbe; have += count)
      count = TRY(inner_.Read(std::as_writable_bytes(std::span(probe_)).subspan(have)));
    probe_.resize(have);
    return {};
  }

  std::string_view probe() const { return probe_; }
  uint64_t size() const { return size_; }  // as announced

  Result<size_t> Read(std::span<std::byte> out) override {
    if (given_ == probe_.size())
      return inner_.Read(out);
    size_t count = std::min(out.size(), probe_.size() - given_);
    memcpy(out.data(), probe_.data() + given_, count);
    given_ += count;
    return count;
  }

 private:
  ByteSource& inner_;
  const uint64_t size_;
  std::string probe_;
  size_t given_ = 0;  // of probe_
};

Result<ArchiveParts> ArchiveParts::Read(ByteSource& archive, store::Store& store,
                                        store::Transaction& transaction) {
  ArchiveParts parts(store, transaction);
  Content whole(archive, 0);
  TRY(whole.Open());
  std::string_view foreign = ForeignCompression(whole.probe());
  if (!foreign.empty())
    return Fail(Errc::kUnsupported, Cat("the archive: ", UnsupportedCompression(foreign)));
  auto plain = TRY(store::Decompress(whole, store::Compression::kNone, {}));
  TRY(parts.TakeAll(*plain));
  return parts;
}

Result<> ArchiveParts::TakeAll(ByteSource& tar) {
  store::TarReader reader(tar);
  store::TarEntry entry;
  for (uint64_t count = 0;; ++count) {
    auto next = reader.Next(entry);
    if (!next && count == 0 && next.error().code() == Errc::kInvalid)
      return Fail(Errc::kInvalid, Cat("not an archive of images: ", next.error().message()));
    if (!TRY_CTX("archive", std::move(next)))
      return {};
    if (count == kMaxEntries)
      return Fail(Errc::kInvalid, Cat("the archive has more than ", kMaxEntries, " entries"));
    TRY_CTX("archive", Take(reader, entry));
  }
}

Result<> ArchiveParts::Take(store::TarReader& reader, const store::TarEntry& entry) {
  std::string path = oci::CleanPath(entry.name);
  if (path.empty())  // nothing can refer to it
    return {};
  if (entry.type == store::TarType::kSymlink || entry.type == store::TarType::kHardlink) {
    TakeLink(path, entry);
    return {};
  }
  if (entry.type != store::TarType::kRegular)
    return {};
  Forget(path);
  EntrySource data(reader, entry.size);
  Content content(data, entry.size);
  TRY_CTX(path, content.Open());
  return TakeFile(path, content);
}

// The last of several entries with one name counts.
void ArchiveParts::Forget(const std::string& path) {
  auto known = documents_.find(path);
  if (known != documents_.end()) {
    document_bytes_ -= known->second.size();
    documents_.erase(known);
  }
  layers_.erase(path);
  links_.erase(path);
  others_.erase(path);
}

void ArchiveParts::TakeLink(const std::string& path, const store::TarEntry& entry) {
  Forget(path);
  std::string target = entry.type == store::TarType::kSymlink ? ResolveLink(path, entry.link_name)
                                                              : oci::CleanPath(entry.link_name);
  if (target.empty()) {
    others_.emplace(path, "it is a link that leads out of the archive");
  } else {
    links_.emplace(path, std::move(target));
  }
}

Result<> ArchiveParts::TakeFile(const std::string& path, Content& content) {
  std::optional<Digest> blob = BlobDigest(path);
  std::string_view probe = content.probe();
  if (LooksLikeTar(probe) || LooksCompressed(probe))
    return TakeLayer(path, blob, content);
  if (LooksLikeJson(probe))
    return TakeDocument(path, blob, content);
  std::string_view foreign = ForeignCompression(probe);
  others_.emplace(path, foreign.empty() ? std::string("it is neither a document nor a layer")
                                        : UnsupportedCompression(foreign));
  return {};
}

Result<> ArchiveParts::TakeDocument(const std::string& path, const std::optional<Digest>& blob,
                                    Content& content) {
  if (content.size() > kMaxDocument) {
    others_.emplace(
        path, Cat("it has ", content.size(), " bytes; at most ", kMaxDocument, " are accepted"));
    return {};
  }
  if (content.size() > kMaxDocuments - document_bytes_) {
    others_.emplace(path, Cat("the archive has more than ", kMaxDocuments, " bytes of documents"));
    return {};
  }
  std::string text(static_cast<size_t>(content.size()), '\0');
  for (size_t have = 0; have < text.size();) {
    have += TRY_CTX(path, content.Read(std::as_writable_bytes(std::span(text)).subspan(have)));
  }
  if (blob && Digest::Of(text) != *blob)
    return Fail(Errc::kCorrupt, Cat(path, " does not match the digest it is named by"));
  document_bytes_ += text.size();
  documents_.emplace(path, std::move(text));
  return {};
}

// The digest of an uncompressed layer is its diffID: one hash less, and nothing to read when the
// store has the layer.
Result<> ArchiveParts::TakeLayer(const std::string& path, const std::optional<Digest>& blob,
                                 Content& content) {
  store::Transaction::LayerSource source{.source = &content};
  if (LooksCompressed(content.probe())) {
    source.blob_digest = blob;
  } else {
    source.diff_id = blob;
  }
  auto layer = TRY_CTX(path, transaction_.AddLayer(source, {}));
  layers_.emplace(path, layer.diff_id);
  return {};
}

std::string ArchiveParts::Follow(std::string_view path) const {
  std::string at(path);
  for (size_t count = 0; count < kMaxLinks; ++count) {
    auto link = links_.find(at);
    if (link == links_.end())
      break;
    at = link->second;
  }
  return at;
}

std::unexpected<Error> ArchiveParts::Missing(std::string_view path,
                                             const std::string& followed) const {
  auto other = others_.find(followed);
  if (other != others_.end())
    return Fail(Errc::kInvalid, Cat(path, " of the archive cannot be used: ", other->second));
  bool of_other_kind = documents_.contains(followed) || layers_.contains(followed);
  if (of_other_kind)
    return Fail(Errc::kInvalid, Cat(path, " of the archive is not what it is named as"));
  return Fail(Errc::kInvalid,
              Cat("the archive is incomplete: it names ", path, ", but does not contain it"));
}

bool ArchiveParts::Has(std::string_view path) const {
  std::string followed = Follow(path);
  return documents_.contains(followed) || layers_.contains(followed) || others_.contains(followed);
}

Result<std::string_view> ArchiveParts::Document(std::string_view path) const {
  std::string followed = Follow(path);
  auto found = documents_.find(followed);
  if (found == documents_.end())
    return Missing(path, followed);
  return std::string_view(found->second);
}

Result<Digest> ArchiveParts::Layer(std::string_view path) const {
  std::string followed = Follow(path);
  auto found = layers_.find(followed);
  if (found == layers_.end())
    return Missing(path, followed);
  return found->second;
}

}  // namespace wherry::engine
