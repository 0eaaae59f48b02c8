// A layer fetched by its parts: between the registry client and the store. Worker.
#pragma once

#include <memory>
#include <optional>

#include "core/oci/image_spec.h"
#include "engine/images.h"
#include "net/registry/client.h"
#include "store/store.h"

namespace wherry::engine {

// Whether the store may have something of a layer: else its table of contents is of no use.
bool MayHaveParts(const store::Store& store, const oci::Layer& layer);

class PartialPull {
 public:
  // All are borrowed.
  PartialPull(registry::Client* client, ProgressSink* sink, const oci::Layer& layer)
      : client_(client), sink_(sink), layer_(layer) {}

  // False: the layer is to be fetched whole, because that costs as much or because the parts are of
  // no use, which the log then says. Errors are those that would hit the whole layer, too.
  Result<bool> Run(store::Transaction& transaction, const Digest& diff_id,
                   store::IngestProgress progress);
  // The whole blob, if the registry sent that when it was asked for a part; else null.
  std::unique_ptr<ByteSource> TakeWhole() { return std::move(whole_); }

 private:
  class Ranges;
  registry::Client* client_;
  ProgressSink* sink_;
  const oci::Layer& layer_;
  std::unique_ptr<ByteSource> whole_;
};

}  // namespace wherry::engine
