// delta create: what a registry offers so that devices fetch changes in place of layers. Works on
// OCI layouts, without a daemon.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/oci_layout.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci/delta_spec.h"
#include "core/oci/platform.h"
#include "store/decompress.h"
#include "store/hashing_source.h"
#include "store/tar_delta.h"
#include "store/tar_delta_writer.h"

namespace wherry::cli {

namespace {

constexpr Option kDelta[] = {
    {"platform", 0, OptionKind::kValue, "OS/ARCH",
     "Which images of an index, for example linux/arm64; else those for this machine"},
};

// A delta is worth its while below nine tenths of the layer.
bool IsWorthwhile(uint64_t delta, uint64_t layer) {
  return delta < layer - layer / 10;
}

// A layer of a layout, inflated and verified at its end.
class LayerStream {
 public:
  static Result<std::unique_ptr<LayerStream>> Open(const Layout& layout, const LayoutImage& image,
                                                   size_t number) {
    auto stream = std::make_unique<LayerStream>();
    stream->blob_ = TRY(layout.OpenBlob(image.manifest.layers[number].descriptor.digest));
    stream->plain_ =
        TRY(store::Decompress(*stream->blob_, store::Compression::kGzip, store::Limits()));
    store::HashingSource::Expected expected{
        "the layer (diffID)", image.config.diff_ids[number], {}};
    stream->verified_ = std::make_unique<store::HashingSource>(*stream->plain_, expected);
    return stream;
  }
  ByteSource& source() { return *verified_; }

 private:
  std::unique_ptr<ByteSource> blob_;
  std::unique_ptr<ByteSource> plain_;
  std::unique_ptr<ByteSource> verified_;
};

class DeltaJob {
 public:
  DeltaJob(Layout old_layout, Layout new_layout, LayoutWriter writer)
      : old_(std::move(old_layout)), new_(std::move(new_layout)), writer_(std::move(writer)) {}

  Result<> Run(const LayoutImage& from, const LayoutImage& to) {
    std::vector<oci::LayerDelta> made;
    for (size_t i = 0; i < to.manifest.layers.size(); ++i) {
      const auto& known = from.config.diff_ids;
      if (std::find(known.begin(), known.end(), to.config.diff_ids[i]) != known.end())
        continue;
      size_t base = std::min(i, from.manifest.layers.size() - 1);
      auto delta = TRY_CTX(Cat("layer ", i + 1), Make(from, base, to, i));
      if (delta)
        made.push_back(std::move(*delta));
    }
    if (made.empty())
      return Fail(Errc::kNotFound, "no layer has a delta that is smaller than itself");
    TRY(writer_.Finish(to, made));
    return Print(Cat("publish it as _deltaindex or, as what refers to this image alone, sha256-",
                     to.descriptor.digest.hex(), "\n"));
  }

 private:
  Result<std::optional<oci::LayerDelta>> Make(const LayoutImage& from, size_t base,
                                              const LayoutImage& to, size_t number) {
    auto old_layer = TRY(LayerStream::Open(old_, from, base));
    auto scratch = TRY(writer_.Scratch());
    auto files = TRY(store::ArchiveFiles::Read(old_layer->source(), std::move(scratch)));
    auto blob = TRY(writer_.BeginBlob());
    auto new_layer = TRY(LayerStream::Open(new_, to, number));
    TRY(store::WriteTarDelta(new_layer->source(), files,
                             [&](std::span<const std::byte> bytes) { return blob.Write(bytes); }));
    TRY(Verify(blob, std::move(files), to.config.diff_ids[number]));
    uint64_t layer_size = to.manifest.layers[number].descriptor.size;
    bool worthwhile = IsWorthwhile(blob.size(), layer_size);
    TRY(Print(Cat("layer ", number + 1, ": ", FormatSize(layer_size), ", delta ",
                  FormatSize(blob.size()), worthwhile ? "\n" : ": left out\n")));
    if (!worthwhile)
      return std::nullopt;
    oci::LayerDelta delta;
    delta.descriptor = TRY(writer_.Keep(std::move(blob), oci::kTarDiff));
    delta.from = from.config.diff_ids[base];
    delta.to = to.config.diff_ids[number];
    return delta;
  }

  // What devices will do with it.
  static Result<> Verify(const LayoutBlob& blob, store::ArchiveFiles files, const Digest& diff_id) {
    FileSource file(TRY(blob.Reopen()));
    store::TarDeltaSource applied(file, std::make_unique<store::ArchiveFiles>(std::move(files)),
                                  store::Limits());
    store::HashingSource verified(applied, {"the delta's result", diff_id, std::nullopt});
    return verified.Drain(UINT64_MAX);
  }

  Layout old_;
  Layout new_;
  LayoutWriter writer_;
};

Result<int> Create(const Invocation& call) {
  oci::Platform platform = oci::HostPlatform();
  if (!call.arguments.Value("platform").empty())
    platform = TRY(oci::ParsePlatform(call.arguments.Value("platform")));
  Layout old_layout(call.word(1));
  Layout new_layout(call.word(2));
  LayoutImage from = TRY_CTX(call.word(1), old_layout.Image(platform));
  LayoutImage to = TRY_CTX(call.word(2), new_layout.Image(platform));
  if (from.config.diff_ids.empty())
    return Fail(Errc::kInvalid, Cat(call.word(1), " has no layers"));
  auto writer = TRY_CTX(call.word(3), LayoutWriter::Create(call.word(3)));
  auto made =
      DeltaJob(std::move(old_layout), std::move(new_layout), std::move(writer)).Run(from, to);
  if (!made) {
    (void)RemoveTree(call.word(3));
    return std::unexpected(std::move(made).error());
  }
  return 0;
}

}  // namespace

std::span<const Option> DeltaOptions() {
  return kDelta;
}

Result<int> DeltaCommand(const Invocation& call) {
  if (call.word(0) != "create")
    return Fail(Errc::kInvalid,
                Cat("unknown command 'delta ", call.word(0), "'; there is `delta create`"));
  TRY(store::CanWriteDeltas());
  if constexpr (store::kWritesDeltas)
    return Create(call);
  return 0;
}

}  // namespace wherry::cli
