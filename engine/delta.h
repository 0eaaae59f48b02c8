// Deltas a registry offers for the layers of one image, against layers the store has: by the index
// of its repository, else by the list of what refers to the image (docs/deltas.md). Looking is
// cheap and never fails a pull: without a delta there is the layer itself. One thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/delta_spec.h"
#include "net/registry/client.h"
#include "store/store.h"

namespace wherry::engine {

class Deltas {
 public:
  // Borrows both. `target`: the manifest of the image that is pulled.
  Deltas(store::Store* store, registry::Client* client, const Digest& target)
      : store_(store), client_(client), target_(target) {}

  struct Choice {
    oci::Descriptor descriptor;
    Digest from;  // diffID of a layer in the store
  };
  // The smallest delta to this layer; nothing when none is smaller than the layer's blob. Asks the
  // registry at the first call, and only when the store has layers at all. An error says what is
  // wrong with what the registry offers, once.
  Result<std::optional<Choice>> Find(const oci::Layer& layer, const Digest& diff_id);

 private:
  Result<> Load();
  Result<> Take(Result<registry::FetchedManifest> list);
  void FindKnownLayers();

  store::Store* store_;
  registry::Client* client_;
  Digest target_;
  bool loaded_ = false;
  std::map<Digest, Digest> known_;  // diffIDs of layers in the store by diffID and digest of blob
  std::vector<oci::LayerDelta> offered_;
};

}  // namespace wherry::engine
