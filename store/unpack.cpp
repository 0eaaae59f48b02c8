#include "store/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "store/decompress.h"
#include "store/hashing_source.h"
#include "store/layer_writer.h"
#include "store/space.h"
#include "store/tar_reader.h"

namespace wherry::store {

namespace {

// How much more of a blob is read to tell a broken archive from a broken transfer.
constexpr uint64_t kMaxDiagnosis = uint64_t{32} << 20;
constexpr size_t kShownHex = 12;

// Caps the whole archive, headers and ignored data included, which the sizes of its files do not.
class CappedSource final : public ByteSource {
 public:
  CappedSource(ByteSource& inner, uint64_t max_file_bytes)
      : inner_(inner), left_(max_file_bytes + max_file_bytes / 4 + (uint64_t{64} << 20)) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(inner_.Read(out));
    if (count > left_) {
      return Fail(Errc::kInvalid, "the archive is longer than the limit for its files allows");
    }
    left_ -= count;
    return count;
  }

 private:
  ByteSource& inner_;
  uint64_t left_;
};

Result<uint64_t> UnpackArchive(ByteSource& archive, UniqueFd root, const Limits& limits,
                               IngestProgress& progress) {
  TarReader reader(archive);
  auto writer = TRY(LayerWriter::Create(std::move(root), {.max_bytes = limits.max_layer_bytes,
                                                          .reserve_bytes = limits.reserve_bytes}));
  TarEntry entry;
  for (uint64_t count = 0;; ++count) {
    auto next = reader.Next(entry);
    if (!next) {
      return std::unexpected(
          entry.name.empty() ? std::move(next).error()
                             : std::move(next).error().Wrap(Cat("entry ", QuoteName(entry.name))));
    }
    if (!*next) {
      break;
    }
    if (count == limits.max_layer_entries) {
      return Fail(Errc::kInvalid, Cat("the layer has more than the limit of ",
                                      limits.max_layer_entries, " entries"));
    }
    auto added = writer.Add(entry, reader, progress);
    if (!added) {
      return std::unexpected(std::move(added).error().Wrap(Cat("entry ", QuoteName(entry.name))));
    }
  }
  TRY(writer.Finish());
  return writer.size_bytes();
}

// What a failure means: damage on the way is told apart from an archive that was made broken.
Error Diagnose(Error error, HashingSource& blob) {
  bool content = error.code() == Errc::kCorrupt || error.code() == Errc::kInvalid;
  if (!content || blob.failed() || blob.verified()) {
    return error;
  }
  auto rest = blob.Drain(kMaxDiagnosis);
  if (!rest && rest.error().code() == Errc::kCorrupt) {
    return std::move(rest).error();
  }
  return error;
}

}  // namespace

Result<LayerInfo> UnpackLayer(int parent, const std::string& name,
                              const Transaction::LayerSource& layer, const Limits& limits,
                              IngestProgress& progress) {
  std::string what = Cat("layer ", layer.diff_id.hex().substr(0, kShownHex));
  if (mkdirat(parent, name.c_str(), 0700) != 0) {
    return FailSys("mkdir", what);
  }
  ScopeExit undo([&] { (void)RemoveTreeAt(parent, name); });
  UniqueFd root = TRY_CTX(what, OpenAt(parent, name, O_RDONLY | O_DIRECTORY));
  // A lower bound: files take less than their archive only by its headers.
  uint64_t least = layer.blob_size.value_or(0);
  least = layer.compression == Compression::kNone ? least / 2 : least;
  TRY_CTX(what, CheckFreeSpace(root.get(), least, limits.reserve_bytes));

  HashingSource blob(*layer.source, {"its blob", layer.blob_digest, layer.blob_size});
  auto unpack = [&]() -> Result<uint64_t> {
    auto plain = TRY(Decompress(blob, layer.compression, limits));
    HashingSource archive(*plain, {"its content (diffID)", layer.diff_id, std::nullopt});
    CappedSource capped(archive, limits.max_layer_bytes);
    uint64_t size = TRY(UnpackArchive(capped, std::move(root), limits, progress));
    // The archive may end at a block boundary without its end marker having been asked for.
    TRY(archive.Drain(0));
    TRY(blob.Drain(0));
    return size;
  };
  auto size = unpack();
  if (!size) {
    return std::unexpected(Diagnose(std::move(size).error(), blob).Wrap(what));
  }
  undo.Disarm();
  return LayerInfo{layer.diff_id, *size};
}

}  // namespace wherry::store
