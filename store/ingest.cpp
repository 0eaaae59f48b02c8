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
         IngestProgress& progress, LayerRecorder* recorder)
      : limits_(limits),
        target_(target),
        progress_(progress),
        recorder_(recorder),
        reader_(archive, this) {}

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

  // Nothing comes any more.
  void Idle() { recorded_ = recorder_->Idle(Recorded()); }
  LayerRecorder::State Recorded() const {
    auto given = streams_ ? target_.objects.given() : std::nullopt;
    return {target_.split, layer_.objects, given.value_or(ObjectWriter::Given())};
  }

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
    if (entry.size <= target_.inline_bytes && inlined_bytes_ + entry.size <= target_.max_inlined) {
      inlined_bytes_ += entry.size;
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
    streams_ = !entry.sparse;
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
    streams_ = false;
    layer_.tree.SetObject(file, digest);
    uint64_t number = NumberOf(digest, entry.size);
    if (recorder_ != nullptr)
      recorder_->FileEnded(layer_.objects);
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
    if (recorder_ != nullptr) {
      TRY(std::move(recorded_));
      TRY(recorder_->Advance(Recorded()));
    }
    if (progress_ && !progress_(told_bytes_))
      return Fail(Errc::kCancelled, "cancelled");
    return {};
  }

  const Limits& limits_;
  const IngestTarget& target_;
  IngestProgress& progress_;
  LayerRecorder* const recorder_;
  Result<> recorded_;
  bool streams_ = false;  // a file that is no hole
  TarReader reader_;
  IngestedLayer layer_;
  std::unordered_map<Digest, uint32_t, DigestHash> numbers_;  // of layer_.objects
  std::vector<std::byte> buffer_;
  uint64_t size_bytes_ = 0;
  uint64_t inlined_bytes_ = 0;
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

HashingSource OpenBlob(const Transaction::LayerSource& layer, const IngestResume* resume,
                       Hasher saved) {
  HashingSource::Expected expected{"its blob", layer.blob_digest, layer.blob_size};
  if (resume == nullptr || resume->saved == nullptr)
    return HashingSource(*layer.source, std::move(expected));
  return HashingSource(*layer.source, std::move(expected), std::move(saved),
                       resume->saved->checkpoint.blob.bytes);
}

}  // namespace

Result<IngestedLayer> IngestLayer(const Transaction::LayerSource& layer, const Limits& limits,
                                  const IngestTarget& target, IngestProgress& progress,
                                  IngestResume* resume) {
  const SavedLayer* saved = resume != nullptr ? resume->saved : nullptr;
  LayerRecorder* recorder = resume != nullptr ? &resume->recorder : nullptr;
  Hasher hasher;
  if (saved != nullptr)
    hasher = TRY(Hasher::Restore(saved->checkpoint.blob.state));
  HashingSource blob = OpenBlob(layer, resume, std::move(hasher));
  if (recorder != nullptr) {
    blob.KeepStates();
    recorder->Begin(&blob, saved != nullptr ? saved->checkpoint.point.input : 0);
  }
  std::optional<ResumedSource> resumed;
  auto open = [&]() -> Result<std::unique_ptr<ByteSource>> {
    GzipSum sum = layer.blob_digest || layer.diff_id ? GzipSum::kIgnore : GzipSum::kCheck;
    if (layer.start != nullptr)
      TRY(layer.start->StartAt(0));
    return Decompress(blob, layer.compression, limits, sum, recorder);
  };
  auto ingest = [&]() -> Result<IngestedLayer> {
    std::unique_ptr<ByteSource> plain;
    if (saved != nullptr)
      resumed.emplace(*saved, *resume->objects, blob, *layer.start, limits, recorder);
    else
      plain = TRY(open());
    ByteSource* content = saved != nullptr ? &*resumed : plain.get();
    std::optional<ReadAhead> unpacked;
    // What comes without compression may be made from objects that this very layer adds.
    bool in_step = layer.compression == Compression::kNone;
    if (!in_step)
      content = &unpacked.emplace(*content);
    HashingSource archive(*content, {"its content (diffID)", layer.diff_id, std::nullopt},
                          HashingSource::Hash::kAlways);
    archive.Tell(recorder);
    CappedSource capped(archive, limits.max_layer_bytes);
    content = &capped;
    std::optional<ReadAhead> hashed;
    Ingest* taking = nullptr;
    if (!in_step && recorder != nullptr)
      content = &hashed.emplace(capped, [&taking] { taking->Idle(); });
    else if (!in_step)
      content = &hashed.emplace(capped);
    Ingest taker(*content, limits, target, progress, recorder);
    taking = &taker;
    IngestedLayer ingested = TRY(taker.Run());
    // The archive may end at a block boundary without its end marker having been asked for.
    TRY(ExpectEnd(*content));
    hashed.reset();
    unpacked.reset();
    TRY(blob.Drain(0));
    ingested.diff_id = archive.digest();
    if (recorder != nullptr)
      recorder->Complete({target.split, ingested.objects, {}}, ingested.diff_id);
    return ingested;
  };
  auto ingested = ingest();
  if (resumed)
    resume->replayed = resumed->replayed();
  // Before, nothing of the blob has been asked for.
  bool blob_open = !resumed || resumed->replayed();
  if (!ingested) {
    const std::optional<Digest>& name = layer.diff_id ? layer.diff_id : layer.blob_digest;
    return std::unexpected(
        (blob_open ? Diagnose(std::move(ingested).error(), blob) : std::move(ingested).error())
            .Wrap(name ? Cat("layer ", name->hex().substr(0, kShownHex)) : std::string("layer")));
  }
  return ingested;
}

}  // namespace wherry::store
