#include "cli/oci_layout.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr uint32_t kFileMode = 0644;
constexpr uint32_t kDirMode = 0755;

std::string BlobPath(const std::string& directory, const Digest& digest) {
  return Cat(directory, "/blobs/sha256/", digest.hex());
}

void AppendDescriptor(JsonWriter& json, const oci::Descriptor& descriptor,
                      const std::map<std::string_view, std::string>& annotations,
                      std::string_view artifact_type = {}) {
  json.Object().Field("mediaType", descriptor.media_type);
  if (!artifact_type.empty())
    json.Field("artifactType", artifact_type);
  json.Field("digest", descriptor.digest.string()).Field("size", descriptor.size);
  if (!annotations.empty()) {
    json.Key("annotations").Object();
    for (const auto& [key, value] : annotations)
      json.Field(key, value);
    json.End();
  }
  json.End();
}

// An index of one entry.
std::string IndexOf(const oci::Descriptor& descriptor,
                    const std::map<std::string_view, std::string>& annotations,
                    std::string_view artifact_type = {}) {
  JsonWriter json;
  json.Object().Field("schemaVersion", 2).Field("mediaType", oci::kOciIndex);
  json.Key("manifests").Array();
  AppendDescriptor(json, descriptor, annotations, artifact_type);
  json.End().End();
  return json.Take();
}

}  // namespace

Result<size_t> FileSource::Read(std::span<std::byte> out) {
  ssize_t count;
  do {
    count = read(fd_.get(), out.data(), out.size());
  } while (count < 0 && errno == EINTR);
  return count < 0 ? Result<size_t>(FailSys("read", "a blob")) : static_cast<size_t>(count);
}

// --- Reading

Layout::Layout(std::string_view name) {
  auto parts = SplitLast(name, ':');
  bool tagged = parts && parts->tail.find('/') == std::string_view::npos;
  directory_ = tagged ? parts->head : name;
  tag_ = tagged ? parts->tail : std::string_view();
}

Result<std::unique_ptr<ByteSource>> Layout::OpenBlob(const Digest& digest) const {
  return std::make_unique<FileSource>(TRY(Open(BlobPath(directory_, digest), O_RDONLY)));
}

Result<std::string> Layout::ReadBlob(const oci::Descriptor& descriptor) const {
  std::string content =
      TRY(ReadFile(BlobPath(directory_, descriptor.digest), oci::kMaxManifestBytes));
  if (Digest::Of(content) != descriptor.digest)
    return Fail(Errc::kCorrupt, Cat("blob ", descriptor.digest.string(), " has another digest"));
  return content;
}

Result<oci::Descriptor> Layout::Find() const {
  std::string text = TRY(ReadFile(Cat(directory_, "/index.json"), oci::kMaxManifestBytes));
  auto index = TRY(oci::ParseIndex(text, oci::kOciIndex));
  if (tag_.empty()) {
    if (index.manifests.size() == 1)
      return index.manifests[0].descriptor;
    return Fail(Errc::kInvalid, Cat("the layout has ", index.manifests.size(),
                                    " images; say which: DIRECTORY:TAG"));
  }
  auto document = TRY(JsonDocument::Parse(text, "index.json"));
  for (size_t i = 0; i < index.manifests.size(); ++i) {
    if (document["manifests"].at(i)["annotations"][kRefName].str() == tag_)
      return index.manifests[i].descriptor;
  }
  return Fail(Errc::kNotFound, Cat("the layout has no image with the tag ", tag_));
}

Result<LayoutImage> Layout::Image(const oci::Platform& platform) const {
  oci::Descriptor descriptor = TRY(Find());
  std::string text = TRY(ReadBlob(descriptor));
  if (TRY(oci::KindOf(descriptor.media_type, text)) == oci::DocumentKind::kIndex) {
    auto index = TRY(oci::ParseIndex(text, descriptor.media_type));
    descriptor = TRY(oci::SelectManifest(index, platform));
    text = TRY(ReadBlob(descriptor));
  }
  LayoutImage image;
  image.descriptor = {descriptor.media_type, descriptor.digest, text.size()};
  image.manifest = TRY(oci::ParseManifest(text, descriptor.media_type));
  std::string config = TRY(ReadBlob(image.manifest.config));
  image.config = TRY(oci::ParseImageConfig(config));
  if (image.config.diff_ids.size() != image.manifest.layers.size())
    return Fail(Errc::kInvalid, "configuration and manifest name different numbers of layers");
  return image;
}

// --- Writing

Result<> LayoutBlob::Write(std::span<const std::byte> bytes) {
  TRY(WriteAll(fd_.get(), bytes, "a blob"));
  hasher_.Update(bytes);
  size_ += bytes.size();
  return {};
}

Result<UniqueFd> LayoutBlob::Reopen() const {
  return Open(Cat("/proc/self/fd/", fd_.get()), O_RDONLY);
}

Result<LayoutWriter> LayoutWriter::Create(const std::string& directory) {
  if (PathExists(directory))
    return Fail(Errc::kExists, "it is there already");
  TRY(MakeDirs(Cat(directory, "/blobs/sha256"), kDirMode));
  return LayoutWriter(directory);
}

Result<UniqueFd> LayoutWriter::Scratch() const {
  return Open(directory_, O_TMPFILE | O_RDWR, kFileMode);
}

Result<LayoutBlob> LayoutWriter::BeginBlob() const {
  return LayoutBlob(TRY(Scratch()));
}

Result<oci::Descriptor> LayoutWriter::Keep(LayoutBlob blob, std::string_view media_type) const {
  oci::Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = blob.hasher_.Finish();
  descriptor.size = blob.size_;
  std::string path = BlobPath(directory_, descriptor.digest);
  std::string from = Cat("/proc/self/fd/", blob.fd_.get());
  if (linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0 &&
      errno != EEXIST)
    return FailSys("linkat", path);
  return descriptor;
}

Result<oci::Descriptor> LayoutWriter::Put(std::string_view content,
                                          std::string_view media_type) const {
  LayoutBlob blob = TRY(BeginBlob());
  TRY(blob.Write(std::as_bytes(std::span(content))));
  return Keep(std::move(blob), media_type);
}

Result<> LayoutWriter::Finish(const LayoutImage& target,
                              const std::vector<oci::LayerDelta>& deltas) const {
  std::string digest = target.descriptor.digest.string();
  oci::Descriptor config = TRY(Put("{}", oci::kDeltaConfig));
  JsonWriter json;
  json.Object().Field("schemaVersion", 2).Field("mediaType", oci::kOciManifest).Key("config");
  AppendDescriptor(json, config, {});
  json.Key("layers").Array();
  for (const oci::LayerDelta& delta : deltas) {
    AppendDescriptor(json, delta.descriptor,
                     {{oci::kDeltaFrom, delta.from.string()}, {oci::kDeltaTo, delta.to.string()}});
  }
  json.End().Key("subject");
  AppendDescriptor(json, target.descriptor, {});
  json.Key("annotations").Object().Field(oci::kDeltaTarget, digest).End().End();
  oci::Descriptor manifest = TRY(Put(json.text(), oci::kOciManifest));
  // As the tag that stands for a list of referrers wants it, too.
  oci::Descriptor index =
      TRY(Put(IndexOf(manifest, {{oci::kDeltaTarget, digest}}, oci::kDeltaConfig), oci::kOciIndex));
  TRY(ReplaceFile(Cat(directory_, "/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})", kFileMode,
                  Durability::kVolatile));
  return ReplaceFile(Cat(directory_, "/index.json"),
                     IndexOf(index, {{kRefName, std::string(oci::kDeltaIndexTag)}}), kFileMode,
                     Durability::kVolatile);
}

}  // namespace wherry::cli
