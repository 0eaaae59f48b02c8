#include "engine/partial_pull.h"

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/pull_progress.h"

namespace wherry::engine {

namespace {

// Below this the requests for parts take longer than the blob.
constexpr uint64_t kSmallBlob = uint64_t{128} << 10;

store::Transaction::LayerParts::Part PartOf(const oci::BlobPosition& position) {
  return {position.offset, position.size, position.unpacked_size};
}

bool IsAboutParts(const Error& error) {
  return error.code() == Errc::kCorrupt || error.code() == Errc::kInvalid ||
         error.code() == Errc::kUnsupported;
}

}  // namespace

bool MayHaveParts(const store::Store& store, const oci::Layer& layer) {
  return layer.parts && layer.descriptor.size >= kSmallBlob && !store.Images().empty();
}

class PartialPull::Ranges final : public store::BlobRanges {
 public:
  explicit Ranges(PartialPull& pull)
      : pull_(pull), progress_(pull.sink_, ShortName(pull.layer_), pull.layer_.descriptor.size) {}

  Result<std::unique_ptr<ByteSource>> Open(uint64_t offset, uint64_t size) override {
    const oci::Descriptor& blob = pull_.layer_.descriptor;
    auto part = TRY(pull_.client_->OpenBlobPart(blob, offset, size));
    if (part.whole) {
      pull_.whole_ = std::move(part.source);
      return Fail(Errc::kUnsupported, "the registry sends blobs as a whole only");
    }
    return std::make_unique<Counted>(std::move(part.source), progress_);
  }

  void Expect(uint64_t bytes) override { progress_.SetTotal(bytes); }

 private:
  class Counted final : public ByteSource {
   public:
    Counted(std::unique_ptr<ByteSource> inner, PullProgress& progress)
        : inner_(std::move(inner)), progress_(progress) {}
    Result<size_t> Read(std::span<std::byte> out) override {
      size_t count = TRY(inner_->Read(out));
      TRY(progress_.Count(count));
      return count;
    }

   private:
    std::unique_ptr<ByteSource> inner_;
    PullProgress& progress_;
  };

  PartialPull& pull_;
  PullProgress progress_;
};

Result<bool> PartialPull::Run(store::Transaction& transaction, const Digest& diff_id,
                              store::IngestProgress progress) {
  Ranges ranges(*this);
  store::Transaction::LayerParts parts{.ranges = &ranges,
                                       .blob_size = layer_.descriptor.size,
                                       .toc = PartOf(layer_.parts->toc),
                                       .toc_digest = layer_.parts->toc_digest,
                                       .tar_split = PartOf(layer_.parts->tar_split),
                                       .diff_id = diff_id};
  auto added = transaction.AddLayerByParts(parts, std::move(progress));
  if (added)
    return added->has_value();
  if (!IsAboutParts(added.error()))
    return std::unexpected(std::move(added).error());
  LogInfo("layer ", layer_.descriptor.digest.string(),
          " is fetched whole instead of by its parts: ", added.error().message());
  return false;
}

}  // namespace wherry::engine
