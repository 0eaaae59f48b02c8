// Images for the factory store of a device: a store directory of their own, to be put on a
// read-only file system.
#include "core/base/scope.h"
#include "core/base/text.h"
#include "engine/images.h"

namespace wherry::engine {

Result<> Images::ExportFactory(const FactoryExport& request, StatusSink tell) {
  if (request.images.empty() || !request.directory.starts_with('/'))
    return Fail(Errc::kInvalid, "an absolute path of a directory and names of images are needed");
  TRY(BeginTransfer(request.cancel, TransferKind::kArchive));
  ScopeExit end([&] { EndTransfer(request.cancel, TransferKind::kArchive); });
  auto target = TRY(store::Store::Open(request.directory, {.tier = request.tier}, nullptr));
  for (const std::string& name : request.images) {
    OpenImage open = TRY(Open(name));
    auto image = store_->Find(open.manifest_digest);
    if (image == nullptr)
      return Fail(Errc::kCorrupt, Cat("image ", name, " cannot be read"));
    store::ImageRecord record{image->manifest, image->media_type, image->config, {}};
    auto transaction = TRY(target->Begin());
    for (const store::LayerInfo& layer : image->layers) {
      auto archive = TRY(store_->OpenLayer(layer.diff_id));
      TRY_CTX(Cat("image ", name),
              transaction->AddLayer({.source = archive.get(), .diff_id = layer.diff_id},
                                    [&](uint64_t) { return !request.cancel->load(); }));
      record.diff_ids.push_back(layer.diff_id);
    }
    std::vector<std::string> refs;
    for (const store::Ref& ref : store_->Refs()) {
      if (ref.manifest_digest == image->manifest_digest)
        refs.push_back(ref.name);
    }
    TRY(transaction->Commit(record, refs));
    if (!image->layers.empty())
      TRY(target->Root(image->manifest_digest));
    tell(Cat("Exported ", name));
  }
  return {};
}

}  // namespace wherry::engine
