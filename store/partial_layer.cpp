#include "store/partial_layer.h"

#include <algorithm>

#include "core/base/text.h"
#include "store/decompress.h"
#include "store/hashing_source.h"

namespace wherry::store {

namespace {

// Of the uncompressed table of contents, which is never held as a whole; the limit of the format's
// reference reader.
constexpr uint64_t kMaxTocBytes = uint64_t{150} << 20;
// Of the compressed tar-split, which is held: some 100 bytes for each file.
constexpr uint64_t kMaxTarSplitBytes = uint64_t{8} << 20;
// Of the blob, in percent, from which on it is fetched whole.
constexpr uint64_t kWorthless = 90;

// Ends with an error where a stream goes on longer than was said.
class BoundedSource final : public ByteSource {
 public:
  BoundedSource(ByteSource& inner, uint64_t size, std::string_view what)
      : inner_(inner), left_(size), what_(what) {}

  Result<size_t> Read(std::span<std::byte> out) override {
    size_t count = TRY(inner_.Read(out));
    if (count > left_)
      return Fail(Errc::kInvalid, Cat(what_, " is longer than the manifest says"));
    left_ -= count;
    return count;
  }

 private:
  ByteSource& inner_;
  uint64_t left_;
  std::string_view what_;
};

ByteRange RangeOf(const Transaction::LayerParts::Part& part) {
  return {part.offset, part.offset + part.size};
}

}  // namespace

Result<> PartialLayer::CheckPositions() const {
  auto inside = [&](const Transaction::LayerParts::Part& part) {
    return part.size > 0 && part.size <= layer_.blob_size &&
           part.offset <= layer_.blob_size - part.size;
  };
  if (!inside(layer_.toc) || !inside(layer_.tar_split))
    return Fail(Errc::kInvalid, "the manifest puts the table of contents outside of the blob");
  if (layer_.toc.unpacked > kMaxTocBytes || layer_.tar_split.size > kMaxTarSplitBytes)
    return Fail(Errc::kUnsupported, "the table of contents is too large to be used");
  return {};
}

Result<bool> PartialLayer::Prepare(size_t inline_bytes, const FindSmallContents& find_small) {
  TRY(CheckPositions());
  TRY(FetchToc());
  WantedContents wanted;
  for (const TocFile& file : toc_.files()) {
    if (file.size <= inline_bytes)
      wanted.insert(file.digest);
  }
  if (!wanted.empty())
    small_ = TRY(find_small(wanted));
  std::vector<ByteRange> requests = Coalesce(Missing(inline_bytes));
  uint64_t total = layer_.tar_split.size;
  for (const ByteRange& request : requests)
    total += request.end - request.begin;
  if (total >= layer_.blob_size / 100 * kWorthless)
    return false;
  layer_.ranges->Expect(layer_.toc.size + total);
  TRY(FetchTarSplit());
  blob_.Plan(std::move(requests));
  return true;
}

Result<> PartialLayer::FetchToc() {
  ByteRange toc = RangeOf(layer_.toc);
  ByteRange split = RangeOf(layer_.tar_split);
  // The writers put the one behind the other: one request serves both.
  std::vector<ByteRange> both = {toc, split};
  blob_.Plan(toc.end <= split.begin ? Coalesce(both) : both);
  TRY(blob_.Seek(toc));
  HashingSource packed(blob_, {"its table of contents", layer_.toc_digest, layer_.toc.size});
  auto plain = TRY(Decompress(packed, Compression::kZstd, limits_));
  BoundedSource json(*plain, layer_.toc.unpacked, "its table of contents");
  auto parsed = Toc::Parse(json, limits_, std::min(toc.begin, split.begin));
  // Damage on the way is told apart from a table that was made broken.
  if (!parsed && !packed.failed() && !packed.verified())
    TRY(packed.Drain(layer_.toc.size));
  toc_ = TRY(std::move(parsed));
  return packed.Drain(0);
}

Result<> PartialLayer::FetchTarSplit() {
  TRY(blob_.Seek(RangeOf(layer_.tar_split)));
  tar_split_.resize(static_cast<size_t>(layer_.tar_split.size));
  for (size_t have = 0; have < tar_split_.size();) {
    size_t count = TRY(blob_.Read(std::as_writable_bytes(std::span(tar_split_)).subspan(have)));
    if (count == 0)
      return Fail(Errc::kCorrupt, "its tar-split ends too early");
    have += count;
  }
  return {};
}

// Content that several files have is fetched once, unless it may be too small to become an object.
std::vector<ByteRange> PartialLayer::Missing(size_t inline_bytes) const {
  WantedContents seen;
  std::vector<ByteRange> missing;
  for (const TocFile& file : toc_.files()) {
    bool small = file.size <= inline_bytes;
    bool known = (small && small_.contains(file.digest)) || objects_.Has(file.digest, file.size) ||
                 (!small && !seen.insert(file.digest).second);
    if (!known)
      missing.push_back({file.offset, file.end});
  }
  return missing;
}

Result<IngestedLayer> PartialLayer::Take(IngestTarget target, IngestProgress& progress) {
  target.toc = &toc_;
  TextSource packed(tar_split_);
  auto plain = TRY(Decompress(packed, Compression::kZstd, limits_));
  BoundedSource lines(*plain, layer_.tar_split.unpacked, "its tar-split");
  RebuildSource archive(lines, {toc_, objects_, small_, blob_, limits_});
  return IngestLayer({.source = &archive, .diff_id = layer_.diff_id}, limits_, target, progress);
}

}  // namespace wherry::store
