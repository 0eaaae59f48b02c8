#include "store/ingest.h"

#include <unordered_map>

#include "core/base/read_ahead.h"
#include "core/base/text.h"
#include "store/decompress.h"
#include "store/hashing_source.h"
#include "store/tar_reader.h"

namespace wherry::store {

namespace {

// How much more of a blob is read to tell a broken archive from a broken transfer.
constexpr uint64_t kMaxDiagnosis = uint64_t{32} << 20;
constexpr size_t kShownHex = 12;

// Caps the whole archive, headers and ignored data included, which the sizes of its files do not.
class CappedSource final : public ByteSource {
 public:
  CappedSource(ByteSource& inner, uint64_t max_file_bytes)
      : inner_(inner), left_(max_file_bytes + max_file_bytes / 4 + (uint64_t{64} << 20)) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(inner_.Read(out));
    if (count > left_) {
      return Fail(Errc::kInvalid, "the archive is longer than the limit for its files allows");
    }
    left_ -= count;
    return count;
  }

 private:
  ByteSource& inner_;
  uint64_t left_;
};

// One archive into a tree and objects.
class Ingest final : public TarReader::Observer {
 public:
  Ingest(ByteSource& archive, const Limits& limits, const IngestTarget& target,
         IngestProgress& progress)
      : limits_(limits), target_(target), progress_(progress), reader_(archive, this) {}

  Result<IngestedLayer> Run() {
    TarEntry entry;
    for (uint64_t count = 0;; ++count) {
      auto next = reader_.Next(entry);
      if (!next) {
        auto error = std::move(next).error();
        return std::unexpected(entry.name.empty()
                                   ? std::move(error)
                                   : std::move(error).Wrap(Cat("entry ", QuoteName(entry.name))));
      }
      if (!*next)
        break;
      if (count == limits_.max_layer_entries) {
        return Fail(Errc::kInvalid, Cat("the layer has more than the limit of ",
                                        limits_.max_layer_entries, " entries"));
      }
      TRY_CTX(Cat("entry ", QuoteName(entry.name)), Add(entry));
    }
    TRY(target_.split.Finish());
    layer_.tree.Seal();
    return std::move(layer_);
  }

  Result<> Raw(std::span<const std::byte> bytes) override { return target_.split.Raw(bytes); }

 private:
  Result<> Add(const TarEntry& entry) {
    auto file = TRY(layer_.tree.Add(entry));
    if (file) {
      if (entry.size > limits_.max_layer_bytes ||
          size_bytes_ > limits_.max_layer_bytes - entry.size) {
        return Fail(Errc::kInvalid, Cat("the layer unpacks to more than the limit of ",
                                        limits_.max_layer_bytes, " bytes"));
      }
      size_bytes_ += entry.size;
      if (entry.sparse || entry.size > kBufferedBytes)
        TRY(Stream(*file, entry));
      else if (entry.size > 0)
        TRY(Buffer(*file, entry));
    }
    return Tell(0);
  }

  Result<> Buffer(LayerTree::InodeId file, const TarEntry& entry) {
    buffer_.clear();
    for (;;) {
      TarReader::Piece piece = TRY(reader_.Data());
      if (piece.bytes.empty())
        break;
      buffer_.insert(buffer_.end(), piece.bytes.begin(), piece.bytes.end());
    }
    TRY(Tell(buffer_.size()));
    if (entry.size <= target_.inline_bytes) {
      layer_.tree.SetInline(file, {reinterpret_cast<const char*>(buffer_.data()), buffer_.size()});
      return target_.split.Raw(buffer_);
    }
    Digest digest = TRY(target_.objects.Put(buffer_));
    layer_.tree.SetObject(file, digest);
    return target_.split.Object(NumberOf(digest, entry.size), 0, entry.size);
  }

  Result<> Stream(LayerTree::InodeId file, const TarEntry& entry) {
    const TocFile* told = target_.toc != nullptr && !entry.sparse
                              ? target_.toc->Find(entry.name, entry.size)
                              : nullptr;
    TRY(target_.objects.Begin(entry.size, told != nullptr ? &told->digest : nullptr));
    std::vector<SparseExtent> extents;
    for (;;) {
      TarReader::Piece piece = TRY(reader_.Data());
      if (piece.bytes.empty())
        break;
      TRY(target_.objects.Write(piece.bytes, piece.offset));
      bool goes_on =
          !extents.empty() && extents.back().offset + extents.back().size == piece.offset;
      if (!goes_on)
        extents.push_back({piece.offset, 0});
      extents.back().size += piece.bytes.size();
      TRY(Tell(piece.bytes.size()));
    }
    Digest digest = TRY(target_.objects.End());
    layer_.tree.SetObject(file, digest);
    uint64_t number = NumberOf(digest, entry.size);
    for (const SparseExtent& extent : extents)
      TRY(target_.split.Object(number, extent.offset, extent.size));
    return {};
  }

  uint32_t NumberOf(const Digest& digest, uint64_t size) {
    auto [found, added] =
        numbers_.try_emplace(digest, static_cast<uint32_t>(layer_.objects.size()));
    if (added)
      layer_.objects.push_back({digest, size});
    return found->second;
  }

  Result<> Tell(uint64_t more) {
    told_bytes_ += more;
    if (progress_ && !progress_(told_bytes_))
      return Fail(Errc::kCancelled, "cancelled");
    return {};
  }

  const Limits& limits_;
  const IngestTarget& target_;
  IngestProgress& progress_;
  TarReader reader_;
  IngestedLayer layer_;
  std::unordered_map<Digest, uint32_t, DigestHash> numbers_;  // of layer_.objects
  std::vector<std::byte> buffer_;
  uint64_t size_bytes_ = 0;
  uint64_t told_bytes_ = 0;
};

Result<> ExpectEnd(ByteSource& source) {
  std::byte more;
  if (TRY(source.Read({&more, 1})) > 0)
    return Fail(Errc::kInvalid, "its content (diffID) goes on after its end");
  return {};
}

// What a failure means: damage on the way is told apart from an archive that was made broken.
Error Diagnose(Error error, HashingSource& blob) {
  bool content = error.code() == Errc::kCorrupt || error.code() == Errc::kInvalid;
  if (!content)
    return error;
  if (!blob.failed() && !blob.verified())
    (void)blob.Drain(kMaxDiagnosis);
  // Read ahead, that may be known before the archive was found broken.
  return blob.mismatch().empty() ? std::move(error) : Error(Errc::kCorrupt, blob.mismatch());
}

}  // namespace

Result<IngestedLayer> IngestLayer(const Transaction::LayerSource& layer, const Limits& limits,
                                  const IngestTarget& target, IngestProgress& progress) {
  HashingSource blob(*layer.source, {"its blob", layer.blob_digest, layer.blob_size});
  auto ingest = [&]() -> Result<IngestedLayer> {
    GzipSum sum = layer.blob_digest || layer.diff_id ? GzipSum::kIgnore : GzipSum::kCheck;
    auto plain = TRY(Decompress(blob, layer.compression, limits, sum));
    ByteSource* content = plain.get();
    std::optional<ReadAhead> unpacked;
    // What comes without compression may be made from objects that this very layer adds.
    bool in_step = layer.compression == Compression::kNone;
    if (!in_step)
      content = &unpacked.emplace(*plain);
    HashingSource archive(*content, {"its content (diffID)", layer.diff_id, std::nullopt},
                          HashingSource::Hash::kAlways);
    CappedSource capped(archive, limits.max_layer_bytes);
    content = &capped;
    std::optional<ReadAhead> hashed;
    if (!in_step)
      content = &hashed.emplace(capped);
    IngestedLayer ingested = TRY(Ingest(*content, limits, target, progress).Run());
    // The archive may end at a block boundary without its end marker having been asked for.
    TRY(ExpectEnd(*content));
    hashed.reset();
    unpacked.reset();
    TRY(blob.Drain(0));
    ingested.diff_id = archive.digest();
    return ingested;
  };
  auto ingested = ingest();
  if (!ingested) {
    const std::optional<Digest>& name = layer.diff_id ? layer.diff_id : layer.blob_digest;
    return std::unexpected(
        Diagnose(std::move(ingested).error(), blob)
            .Wrap(name ? Cat("layer ", name->hex().substr(0, kShownHex)) : std::string("layer")));
  }
  return ingested;
}

}  // namespace wherry::store
