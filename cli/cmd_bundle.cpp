// release bundle: a signed release and its images in one file, from their registries. release push:
// the signed release into a registry.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/oci/archive_spec.h"
#include "core/oci/platform.h"
#include "engine/config.h"
#include "engine/image_trust.h"
#include "net/registry/client.h"
#include "ota/release.h"
#include "ota/release_artifact.h"
#include "store/tar_writer.h"

namespace wherry::cli {

namespace {

constexpr uint32_t kFileMode = 0644;
constexpr size_t kPiece = 64 << 10;

constexpr Option kBundle[] = {
    {"output", 'o', OptionKind::kValue, "FILE", "Write the bundle to this file"},
    {"platform", 0, OptionKind::kList, "OS/ARCH",
     "Of images for several platforms only these; all without it"},
};

// Documents first, so that a device knows the layers before they come.
class Bundle {
 public:
  Bundle(const registry::Options& options, std::vector<oci::Platform> platforms)
      : options_(options), platforms_(std::move(platforms)) {}

  // Asks the registry for all documents of an image.
  Result<> Add(const registry::Reference& image) {
    auto credentials = TRY(UserCredentials(image.registry));
    clients_.push_back(
        std::make_unique<registry::Client>(options_, image, std::move(credentials), nullptr));
    auto first = TRY(clients_.back()->GetManifest());
    index_.push_back({first.digest, first.bytes.size(), image.Canonical(), {}, first.media_type});
    TRY_CTX("signatures", AddSignatures(first.digest));
    if (TRY(oci::KindOf(first.media_type, first.bytes)) == oci::DocumentKind::kManifest)
      return AddManifest(first);
    auto entries = TRY(oci::ParseIndex(first.bytes, first.media_type)).manifests;
    AddDocument(first.digest, std::move(first.bytes));
    size_t found = 0;
    for (const oci::IndexEntry& entry : entries) {
      if (!IsWanted(entry.platform))
        continue;
      auto manifest = TRY(clients_.back()->GetManifest(entry.descriptor.digest));
      TRY(AddManifest(manifest));
      ++found;
    }
    if (found == 0)
      return Fail(Errc::kNotFound,
                  Cat(image.Familiar(), " is for none of the platforms asked for"));
    return {};
  }

  Result<> Write(int fd, std::string_view release) {
    fd_ = fd;
    TRY(File("release.json", release));
    TRY(File(oci::kLayoutFile, oci::LayoutJson()));
    TRY(File(oci::kIndexFile, oci::IndexJson(index_)));
    for (const char* name : oci::kBlobDirs)
      TRY(Out(store::TarDirHeader(name)));
    for (const auto& [digest, content] : documents_)
      TRY(File(oci::BlobPath(digest), content));
    for (const auto& [name, content] : signatures_)
      TRY(File(Cat(engine::kSignatures, name), content));
    for (const Layer& layer : layers_)
      TRY_CTX(layer.descriptor.digest.string(), Stream(layer));
    return Out(store::TarEnd());
  }

 private:
  struct Layer {
    registry::Client* client;
    oci::Descriptor descriptor;
  };

  bool IsWanted(const oci::Platform& offered) const {
    // What is no image has this: attestations of BuildKit.
    if (offered.architecture == "unknown")
      return false;
    return platforms_.empty() || std::ranges::any_of(platforms_, [&](const oci::Platform& wanted) {
             return oci::PlatformScore(wanted, offered) > 0;
           });
  }

  // Keeps what was asked for.
  class Signatures final : public engine::RegistrySignatures {
   public:
    explicit Signatures(Bundle& bundle)
        : RegistrySignatures(*bundle.clients_.back()), bundle_(bundle) {}
    Result<std::string> Referrers(const Digest& image) override {
      return Named(engine::ReferrersTag(image), RegistrySignatures::Referrers(image));
    }
    Result<std::string> Tagged(const Digest& image) override {
      return Named(engine::SignatureTag(image), RegistrySignatures::Tagged(image));
    }
    Result<std::string> Manifest(const Digest& digest) override {
      return Keep(digest, RegistrySignatures::Manifest(digest));
    }
    Result<std::string> Blob(const oci::Descriptor& blob) override {
      return Keep(blob.digest, RegistrySignatures::Blob(blob));
    }

   private:
    Result<std::string> Named(const std::string& name, Result<std::string> content) {
      if (content && !content->empty())
        bundle_.signatures_[name] = *content;
      return content;
    }
    Result<std::string> Keep(const Digest& digest, Result<std::string> content) {
      if (content)
        bundle_.AddDocument(digest, *content);
      return content;
    }
    Bundle& bundle_;
  };

  Result<> AddSignatures(const Digest& image) {
    Signatures signatures(*this);
    return engine::ReadSignatures(signatures, image);
  }

  Result<> AddManifest(const registry::FetchedManifest& fetched) {
    auto manifest = TRY(oci::ParseManifest(fetched.bytes, fetched.media_type));
    std::string config = TRY(clients_.back()->GetBlob(manifest.config));
    AddDocument(fetched.digest, fetched.bytes);
    AddDocument(manifest.config.digest, std::move(config));
    for (const oci::Layer& layer : manifest.layers) {
      if (known_.insert(layer.descriptor.digest).second)
        layers_.push_back({clients_.back().get(), layer.descriptor});
    }
    return {};
  }

  void AddDocument(const Digest& digest, std::string content) {
    if (known_.insert(digest).second)
      documents_.emplace_back(digest, std::move(content));
  }

  Result<> Out(std::string_view bytes) { return WriteAll(fd_, bytes, "the bundle"); }

  Result<> File(std::string_view name, std::string_view content) {
    TRY(Out(store::TarFileHeader(name, content.size())));
    TRY(Out(content));
    return Out(store::TarPadding(content.size()));
  }

  Result<> Stream(const Layer& layer) {
    uint64_t size = layer.descriptor.size;
    TRY(Out(store::TarFileHeader(oci::BlobPath(layer.descriptor.digest), size)));
    auto source = TRY(layer.client->OpenBlob(layer.descriptor));
    Hasher hasher;
    std::string piece(kPiece, '\0');
    for (;;) {
      size_t count = TRY(source->Read(std::as_writable_bytes(std::span(piece))));
      if (count == 0)
        break;
      std::string_view bytes = std::string_view(piece).substr(0, count);
      hasher.Update(std::as_bytes(std::span(bytes)));
      TRY(Out(bytes));
    }
    if (hasher.Finish() != layer.descriptor.digest)
      return Fail(Errc::kCorrupt, "the registry sent something else than the layer's digest says");
    return Out(store::TarPadding(size));
  }

  const registry::Options& options_;
  std::vector<oci::Platform> platforms_;
  std::vector<std::unique_ptr<registry::Client>> clients_;
  std::vector<oci::NamedManifest> index_;
  std::vector<std::pair<Digest, std::string>> documents_;
  std::map<std::string, std::string> signatures_;  // and lists of them, by name
  std::vector<Layer> layers_;
  std::set<Digest> known_;
  int fd_ = -1;
};

struct ReleaseFile {
  std::string envelope;
  ota::Release release;
};

Result<ReleaseFile> ReadRelease(const std::string& file) {
  ReleaseFile read;
  read.envelope = TRY(ReadFile(file, ota::kMaxRelease));
  ota::Envelope opened = TRY(ota::Envelope::Parse(read.envelope, file));
  read.release = TRY(ota::Release::Parse(opened.payload, file));
  return read;
}

}  // namespace

std::span<const Option> ReleaseBundleOptions() {
  return kBundle;
}

// The file appears when it is complete.
Result<int> ReleaseBundleCommand(const Invocation& call) {
  std::string output = call.arguments.Value("output");
  if (output.empty())
    return Fail(Errc::kInvalid, "release bundle: --output is missing: the file to write");
  auto [envelope, release] = TRY(ReadRelease(call.word(0)));
  std::vector<oci::Platform> platforms;
  for (const std::string& name : call.arguments.List("platform")) {
    oci::Platform platform = TRY(oci::ParsePlatform(name));
    platforms.push_back(std::move(platform));
  }
  engine::Config config = TRY(engine::LoadConfig(call.config_file, {}));
  Bundle bundle(config.registry, std::move(platforms));
  std::set<std::string> images;
  for (const ota::App& app : release.apps) {
    if (images.insert(app.image.Canonical()).second)
      TRY_CTX(Cat("app ", app.name), bundle.Add(app.image));
  }
  std::string part = Cat(output, ".part", getpid());
  UniqueFd fd = TRY(Open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kFileMode));
  ScopeExit remove([&part] { unlink(part.c_str()); });
  TRY(bundle.Write(fd.get(), envelope));
  if (rename(part.c_str(), output.c_str()) != 0)
    return FailSys("rename", output);
  remove.Disarm();
  return 0;
}

// Prints where it is now, by digest.
Result<int> ReleasePushCommand(const Invocation& call) {
  registry::Reference to = TRY(registry::Reference::Parse(call.word(0)));
  if (to.digest)
    return Fail(Errc::kInvalid,
                Cat(call.word(0), " has a digest: a release gets its own; name a tag"));
  ReleaseFile file = TRY(ReadRelease(call.word(1)));
  engine::Config config = TRY(engine::LoadConfig(call.config_file, {}));
  auto credentials = TRY(UserCredentials(to.registry));
  auto pushed = TRY(ota::PushRelease(config.registry, to, std::move(credentials), file.envelope));
  TRY(Print(Cat(pushed.Canonical(), "\n")));
  return 0;
}

}  // namespace wherry::cli
