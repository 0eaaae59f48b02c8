// Layers taken in by their parts: what is asked for, and that the result is what the whole blob
// would have given.
#include "store/partial_layer.h"

#include <gtest/gtest.h>

#include "tests/unit/store/compress_helper.h"
#include "tests/unit/store/store_fixture.h"

namespace wherry::store {
namespace {

// A blob as containers/storage writes it.
class Chunked {
 public:
  Chunked& File(const std::string& name, const std::string& content) {
    std::string entry = TarBuilder().File(name, content).Unfinished();
    Raw(entry.substr(0, 512));
    Append(split_, R"({"type":1,"name":")", name, R"(","size":)", content.size(),
           R"(,"payload":"AAAAAAAAAAA=","position":1})", "\n");
    if (!content.empty()) {
      uint64_t offset = blob_.size();
      // Two frames: two chunks.
      blob_ += Zstd(content.substr(0, content.size() / 2));
      blob_ += Zstd(content.substr(content.size() / 2));
      tar_ += content;
      AddEntry(name, content, offset);
    }
    std::string padding = entry.substr(512 + content.size());
    if (!padding.empty())
      Raw(padding);
    return *this;
  }
  Chunked& Raw(const std::string& bytes) {
    blob_ += Zstd(bytes);
    tar_ += bytes;
    Append(split_, R"({"type":2,"payload":")", Base64Encode(bytes), R"(","position":0})", "\n");
    return *this;
  }
  void AddEntry(const std::string& name, const std::string& content, uint64_t offset) {
    Append(entries_, entries_.empty() ? "" : ",", R"({"type":"reg","name":")", name, R"(","size":)",
           content.size(), R"(,"offset":)", offset, R"(,"endOffset":)", blob_.size(),
           R"(,"digest":")", Digest::Of(content).string(), "\"}");
  }
  Chunked& Done() {
    Raw(std::string(1024, '\0'));
    toc_ = Cat(R"({"version":1,"entries":[)", entries_, "]}");
    Seal();
    return *this;
  }
  // Puts table and tar-split behind the content.
  void Seal() {
    layer_.toc = Place(toc_);
    layer_.toc_digest =
        Digest::Of(std::string_view(blob_).substr(static_cast<size_t>(layer_.toc.offset)));
    layer_.tar_split = Place(split_);
    layer_.blob_size = blob_.size();
    layer_.diff_id = Digest::Of(tar_);
  }
  Transaction::LayerParts::Part Place(const std::string& text) {
    std::string packed = Zstd(text);
    uint64_t offset = blob_.size() + 8;
    blob_ += SkippableFrame(packed);
    return {offset, packed.size(), text.size()};
  }

  std::string blob_, tar_, split_, entries_, toc_;
  Transaction::LayerParts layer_;
};

class FakeRanges final : public BlobRanges {
 public:
  explicit FakeRanges(const std::string& blob) : blob_(blob) {}
  Result<std::unique_ptr<ByteSource>> Open(uint64_t offset, uint64_t size) override {
    if (fail_ && requests_ == fail_after_)
      return Fail(*fail_, "no part");
    ++requests_;
    bytes_ += size;
    return std::make_unique<StringSource>(
        blob_.substr(static_cast<size_t>(offset), static_cast<size_t>(size)), 1000);
  }
  void Expect(uint64_t bytes) override { expected_ = bytes; }

  std::string blob_;
  std::optional<Errc> fail_;
  int fail_after_ = 0;
  int requests_ = 0;
  uint64_t bytes_ = 0;
  uint64_t expected_ = 0;
};

// Hardly compressible, another text for each seed.
std::string Text(unsigned seed, size_t size) {
  std::string text;
  for (uint32_t state = seed * 7919 + 1; text.size() < size;) {
    state = state * 1664525 + 1013904223;
    text.push_back(static_cast<char>(' ' + (state >> 24) % 90));
  }
  return text;
}

class PartialTest : public EachTier {
 protected:
  void SetUp() override {
    EachTier::SetUp();
    if (store_)
      AddWhole(Image(1).Done());
  }

  static Chunked Image(unsigned version) {
    Chunked image;
    for (unsigned i = 0; i < 20; ++i)
      image.File(Cat("d/same", i), Text(i, 2000 + i * 1000));
    image.File("d/large", Text(100, 400'000)).File("d/tiny", "tiny").File("d/empty", "");
    image.File("d/changed", Text(200 + version, 30'000)).File("d/little", Cat("v", version));
    image.File("d/large2", Text(300 + version, 300'000))
        .File("d/copy", Text(300 + version, 300'000));
    return image;
  }
  void AddWhole(const Chunked& image) {
    base_ = store_->Begin().value();
    StringSource source(image.blob_);
    auto added = base_->AddLayer({.source = &source,
                                  .compression = Compression::kZstd,
                                  .blob_digest = Digest::Of(image.blob_),
                                  .blob_size = image.blob_.size(),
                                  .diff_id = image.layer_.diff_id},
                                 {});
    ASSERT_TRUE(added) << added.error().message();
  }
  Result<std::optional<LayerInfo>> Add(const Chunked& image, FakeRanges& ranges) {
    transaction_ = store_->Begin().value();
    Transaction::LayerParts layer = image.layer_;
    layer.ranges = &ranges;
    return transaction_->AddLayerByParts(layer, {});
  }
  void ExpectComplete(const Chunked& image) {
    auto archive = store_->OpenLayer(image.layer_.diff_id);
    ASSERT_TRUE(archive) << archive.error().message();
    auto content = ReadToEnd(**archive);
    ASSERT_TRUE(content) << content.error().message();
    EXPECT_TRUE(*content == image.tar_);
  }
  // Refused with that code, nothing stays, and the whole blob can still be had.
  void Refused(const Chunked& image, Errc code, std::string_view part) {
    FakeRanges ranges(image.blob_);
    auto added = Add(image, ranges);
    ASSERT_FALSE(added) << part;
    EXPECT_EQ(added.error().code(), code) << added.error().message();
    EXPECT_NE(added.error().message().find(part), std::string::npos) << added.error().message();
    EXPECT_FALSE(store_->HasLayer(image.layer_.diff_id));
    AddWhole(image);
    ExpectComplete(image);
  }

  std::unique_ptr<Transaction> base_;
  std::unique_ptr<Transaction> transaction_;
};

TEST_P(PartialTest, OnlyWhatIsMissingIsFetched) {
  Chunked image = Image(2).Done();
  FakeRanges ranges(image.blob_);
  auto added = Add(image, ranges);
  ASSERT_TRUE(added) << added.error().message();
  ASSERT_TRUE(*added);
  EXPECT_EQ((*added)->diff_id, image.layer_.diff_id);
  ExpectComplete(image);
  uint64_t changed = Zstd(Text(202, 30'000)).size() + Zstd(Text(302, 300'000)).size();
  EXPECT_LT(ranges.bytes_, changed + image.layer_.toc.size + image.layer_.tar_split.size + 1000);
  EXPECT_EQ(ranges.expected_ + 8, ranges.bytes_) << "between the table and the tar-split";
  EXPECT_LE(ranges.requests_, 2);
}

TEST_P(PartialTest, KnownLayerNeedsNothing) {
  Chunked image = Image(1).Done();
  FakeRanges ranges(image.blob_);
  EXPECT_TRUE(Add(image, ranges).value());
  EXPECT_EQ(ranges.requests_, 0);
}

TEST_P(PartialTest, WholeBlobWhereLittleIsKnown) {
  Chunked image;
  image.File("other", Text(7, 300'000)).Done();
  FakeRanges ranges(image.blob_);
  auto added = Add(image, ranges);
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_FALSE(*added);
  EXPECT_EQ(ranges.requests_, 1);
}

TEST_P(PartialTest, DamagedObjectsDoNotSpread) {
  std::string path = Path("obj/" + ObjectPath(Digest::Of(Text(100, 400'000))));
  auto fd = Open(path, O_WRONLY);
  ASSERT_TRUE(fd);
  ASSERT_EQ(pwrite(fd->get(), "!", 1, 1000), 1);
  Chunked image = Image(2).Done();
  FakeRanges ranges(image.blob_);
  auto added = Add(image, ranges);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code(), Errc::kCorrupt);
  EXPECT_FALSE(store_->HasLayer(image.layer_.diff_id));
}

TEST_P(PartialTest, ErrorsOfTheSourceComeThrough) {
  Chunked image = Image(2).Done();
  for (int after : {0, 1}) {
    FakeRanges ranges(image.blob_);
    ranges.fail_ = Errc::kUnavailable;
    ranges.fail_after_ = after;
    auto added = Add(image, ranges);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code(), Errc::kUnavailable);
  }
}

TEST_P(PartialTest, WrongDigestOfTheTable) {
  Chunked image = Image(2).Done();
  image.layer_.toc_digest = Digest::Of("other");
  Refused(image, Errc::kCorrupt, "its table of contents does not match its digest");
}

TEST_P(PartialTest, PositionsOutsideOfTheBlob) {
  for (uint64_t offset : {uint64_t{1} << 49, UINT64_MAX - 5}) {
    Chunked image = Image(2).Done();
    image.layer_.tar_split.offset = offset;
    Refused(image, Errc::kInvalid, "outside of the blob");
    base_.reset();
    AddWhole(Image(1).Done());
  }
}

TEST_P(PartialTest, TablesThatAreTooLarge) {
  Chunked image = Image(2).Done();
  image.layer_.toc.unpacked = uint64_t{151} << 20;
  Refused(image, Errc::kUnsupported, "too large");
}

TEST_P(PartialTest, TableLongerThanItIsSaidToBe) {
  Chunked image = Image(2).Done();
  image.layer_.toc.unpacked -= 1;
  Refused(image, Errc::kInvalid, "longer than the manifest says");
}

TEST_P(PartialTest, ContentThatIsSomethingElse) {
  Chunked image = Image(2);
  image.File("d/victim", Text(50, 7000));
  std::string right = Digest::Of(Text(50, 7000)).string();
  size_t at = image.entries_.find(right);
  image.entries_.replace(at, right.size(), Digest::Of(Text(5, 7000)).string());
  Refused(image.Done(), Errc::kCorrupt, "diffID");
}

TEST_P(PartialTest, TarSplitThatIsNotTheArchives) {
  Chunked image = Image(2);
  image.Raw(std::string(1024, '\0'));
  image.split_ = image.split_.substr(0, image.split_.rfind('\n', image.split_.size() - 2) + 1);
  image.toc_ = Cat(R"({"version":1,"entries":[)", image.entries_, "]}");
  image.Seal();
  Refused(image, Errc::kCorrupt, "diffID");
}

TEST_P(PartialTest, MalformedTarSplit) {
  for (auto [line, part] : {std::pair{"{\"type\":3}\n", "unknown type"},
                            {"[1]\n", "not an object"},
                            {"{\"type\":2,\"payload\":\"?\"}\n", "tar-split"},
                            {"{\"type\":\"2\"}\n", "wrong type"},
                            {"{\"type\":1,\"name\":\"d/nobody\",\"size\":4}\n", "'d/nobody'"}}) {
    Chunked image = Image(2);
    image.split_ = line + image.split_;
    image.Done();
    Refused(image, Errc::kInvalid, part);
    base_.reset();
    AddWhole(Image(1).Done());
  }
}

TEST_P(PartialTest, TruncatedFrames) {
  Chunked image = Image(2);
  size_t at = image.entries_.find("\"endOffset\":", image.entries_.find("d/changed"));
  size_t digits = at + 12;
  size_t end = image.entries_.find(',', digits);
  uint64_t value = *ParseUint(std::string_view(image.entries_).substr(digits, end - digits));
  image.entries_.replace(digits, end - digits, Cat(value - 100));
  Refused(image.Done(), Errc::kCorrupt, "ends too early");
}

// No change of a byte of what is fetched can make another layer.
TEST_P(PartialTest, DamageOnTheWay) {
  Chunked image = Image(2).Done();
  for (size_t step = 1; step < 40; ++step) {
    FakeRanges ranges(image.blob_);
    size_t at = static_cast<size_t>(image.layer_.toc.offset) - 8 - step * 10'007 % 300'000;
    ranges.blob_[at] = static_cast<char>(ranges.blob_[at] ^ 0x10);
    auto added = Add(image, ranges);
    if (!added) {
      EXPECT_FALSE(store_->HasLayer(image.layer_.diff_id));
      continue;
    }
    ExpectComplete(image);
    transaction_.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, PartialTest,
                         testing::Values(Tier::kImageDataOnly, Tier::kImage, Tier::kDirectories),
                         [](const auto& tier) { return std::string(TierName(tier.param)); });

}  // namespace
}  // namespace wherry::store
