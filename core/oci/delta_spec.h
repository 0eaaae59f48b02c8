// Documents that tell of the deltas of a repository: the delta manifests, and what lists them, the
// index tagged "_deltaindex" (https://github.com/flatpak/flatpak-oci-specs, image-deltas.md) or an
// image's list of referrers (distribution-spec 1.1). Parsing hostile JSON. Thread-safe.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "core/oci/image_spec.h"

namespace wherry::oci {

inline constexpr std::string_view kDeltaIndexTag = "_deltaindex";
// Lists of referrers have a manifest's type of configuration as its artifactType.
inline constexpr std::string_view kDeltaConfig = "application/vnd.redhat.delta.config.v1+json";
inline constexpr std::string_view kTarDiff = "application/vnd.tar-diff";
inline constexpr std::string_view kDeltaTarget = "io.github.containers.delta.target";
inline constexpr std::string_view kDeltaFrom = "io.github.containers.delta.from";
inline constexpr std::string_view kDeltaTo = "io.github.containers.delta.to";

// A delta between two layers. The specification leaves open what a layer's digest is: the known
// tools write diffIDs, others may write those of blobs.
struct LayerDelta {
  Descriptor descriptor;
  Digest from;
  Digest to;
};

// The delta manifests for the image manifest `target`; mostly one. kInvalid for a document that is
// no index; entries for other images, and what cannot be understood among them, are passed over. In
// a list of referrers, some of which leave annotations out, the type alone is enough.
Result<std::vector<Descriptor>> DeltaManifests(std::string_view json, const Digest& target);

// The deltas in the tar-diff format of a delta manifest; others are passed over. kInvalid for a
// document that is no manifest or is for another image than `target`.
Result<std::vector<LayerDelta>> ParseDeltas(std::string_view json, const Digest& target);

}  // namespace wherry::oci
