// Images for the factory store of a device: a store directory of their own, to be put on a
// read-only file system.
#include "core/base/scope.h"
#include "core/base/text.h"
#include "engine/images.h"

namespace wherry::engine {

namespace {

// With all names that it has here.
Result<> CopyImage(store::Store& from, const Digest& manifest, store::Store& to,
                   const CancelFlag& cancel) {
  auto image = from.Find(manifest);
  if (image == nullptr)
    return Fail(Errc::kCorrupt, "it cannot be read");
  store::ImageRecord record{image->manifest, image->media_type, image->config, {}};
  auto transaction = TRY(to.Begin());
  for (const store::LayerInfo& layer : image->layers) {
    auto archive = TRY(from.OpenLayer(layer.diff_id));
    TRY(transaction->AddLayer({.source = archive.get(), .diff_id = layer.diff_id},
                              [&](uint64_t) { return !cancel->load(); }));
    record.diff_ids.push_back(layer.diff_id);
  }
  std::vector<std::string> refs;
  for (const store::Ref& ref : from.Refs()) {
    if (ref.manifest_digest == manifest)
      refs.push_back(ref.name);
  }
  TRY(transaction->Commit(record, refs));
  // What a container would be started from is made now, where it can be written.
  if (!image->layers.empty())
    TRY(to.Root(manifest));
  return {};
}

}  // namespace

Result<> Images::ExportFactory(const FactoryExport& request, StatusSink tell) {
  if (request.images.empty() || !request.directory.starts_with('/'))
    return Fail(Errc::kInvalid, "an absolute path of a directory and names of images are needed");
  TRY(BeginTransfer(request.cancel, TransferKind::kArchive));
  ScopeExit end([&] { EndTransfer(request.cancel, TransferKind::kArchive); });
  auto target = TRY(store::Store::Open(request.directory, {.tier = request.tier}, nullptr));
  for (const std::string& name : request.images) {
    OpenImage open = TRY(Open(name));
    TRY_CTX(Cat("image ", name), CopyImage(*store_, open.manifest_digest, *target, request.cancel));
    tell(Cat("Exported ", name));
  }
  return {};
}

}  // namespace wherry::engine
