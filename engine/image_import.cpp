#include "engine/image_import.h"

#include "core/base/time.h"
#include "core/oci/platform.h"
#include "engine/build/image_state.h"
#include "engine/commit.h"

namespace wherry::engine {

Result<WrittenImage> ImportImage(Images& images, ByteSource& archive, const ImportRequest& request,
                                 const CancelFlag& cancel) {
  // The changes first: a mistake there is told before the archive has been read.
  auto state = TRY(ApplyChanges(build::ScratchImage(oci::HostPlatform()), request.changes));
  auto writer = TRY(ImageWriter::Begin(images, cancel));
  Digest layer = TRY(writer->AddLayer(archive));
  state.config.diff_ids.push_back(layer);
  std::string now = FormatRfc3339Nano(UnixNanosNow());
  std::string comment = request.comment.empty() ? "Imported from -" : request.comment;
  state.history = {};
  state.history.push_back({now, {}, std::move(comment), {}, false});
  std::string json = TRY(build::WriteImageState(state, now));
  std::vector<registry::Reference> names;
  if (request.name)
    names.push_back(*request.name);
  return writer->Commit(json, state.config.diff_ids, names);
}

}  // namespace wherry::engine
