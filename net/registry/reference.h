// Names of images: "nginx", "docker.io/library/nginx:1.25", "host:5000/a/b@sha256:...". The grammar
// and the normalisation are those of the distribution project's reference package, as Docker uses
// it. Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/result.h"

namespace wherry::registry {

// A normalised reference: the registry is always named, docker.io gets "library/", and without a
// digest there is a tag.
struct Reference {
  std::string registry;    // "docker.io", "127.0.0.1:5000"
  std::string repository;  // "library/nginx"
  std::string tag;         // "latest"; may be empty beside a digest
  std::optional<Digest> digest;

  // kInvalid in one sentence that names the reference and what is wrong.
  static Result<Reference> Parse(std::string_view text);

  // "docker.io/library/nginx:1"; with a digest "docker.io/library/nginx@sha256:..." (a tag beside
  // it says nothing more).
  std::string Canonical() const;
  // As docker shows it: without docker.io and library/.
  std::string Familiar() const;
  std::string FamiliarRepository() const;
  // What a registry is asked for: the digest, else the tag.
  std::string TagOrDigest() const;
};

// A registry as the user may name it ("", "https://index.docker.io/v1/", "host:5000") ->
// "docker.io", "host:5000".
std::string NormaliseHost(std::string_view host);

}  // namespace wherry::registry
