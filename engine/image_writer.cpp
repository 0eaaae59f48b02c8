#include "engine/image_writer.h"

#include "core/oci/archive_spec.h"
#include "store/change_archive.h"

namespace wherry::engine {

Result<std::unique_ptr<ImageWriter>> ImageWriter::Begin(Images& images, CancelFlag cancel) {
  TRY(images.BeginTransfer(cancel, Images::TransferKind::kArchive));
  std::unique_ptr<ImageWriter> writer(new ImageWriter(images, std::move(cancel)));
  writer->transaction_ = TRY(images.store_->Begin());
  return writer;
}

ImageWriter::~ImageWriter() {
  transaction_.reset();
  images_.EndTransfer(cancel_, Images::TransferKind::kArchive);
}

Result<Digest> ImageWriter::AddLayer(ByteSource& archive) {
  store::Transaction::LayerSource source;
  source.source = &archive;
  store::LayerInfo layer =
      TRY(transaction_->AddLayer(source, [this](uint64_t) { return !cancel_->load(); }));
  return layer.diff_id;
}

Result<std::optional<Digest>> ImageWriter::AddLayer(store::OverlayChanges changes) {
  store::ChangeArchive archive(std::move(changes));
  Digest layer = TRY(AddLayer(archive));
  if (archive.entries() == 0)
    return std::nullopt;
  return layer;
}

std::optional<Digest> ImageWriter::FindSame(const Digest& id) const {
  for (const store::ImageKey& key : images_.store_->Keys()) {
    if (key.config_digest == id)
      return key.manifest_digest;
  }
  return std::nullopt;
}

Result<WrittenImage> ImageWriter::Commit(const std::string& config,
                                         const std::vector<Digest>& layers,
                                         const std::vector<registry::Reference>& names) {
  std::vector<std::string> refs;
  for (const registry::Reference& name : names)
    refs.push_back(name.Canonical());
  WrittenImage written;
  written.id = Digest::Of(config);
  if (auto same = FindSame(written.id)) {
    written.manifest = *same;
    written.pin = images_.Pin(*same);
    for (const std::string& ref : refs)
      TRY(images_.store_->SetRef(ref, *same));
    return written;
  }
  std::vector<oci::PlainLayer> plain;
  for (const Digest& diff_id : layers) {
    uint64_t size = TRY(images_.store_->ArchiveSize(diff_id));
    plain.push_back({diff_id, size});
  }
  store::ImageRecord record;
  record.config = config;
  record.manifest = oci::PlainManifest(config, plain);
  record.media_type = oci::kOciManifest;
  record.diff_ids = layers;
  // Pinned before it can be seen, so that nobody removes it in between.
  written.pin = images_.Pin(Digest::Of(record.manifest));
  written.manifest = TRY(transaction_->Commit(record, refs));
  written.fresh = true;
  return written;
}

}  // namespace wherry::engine
