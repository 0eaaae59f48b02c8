#include "store/tar_delta_writer.h"

#include <zstd.h>

#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "store/bytes.h"
#include "store/disk_ops.h"
#include "store/file_diff.h"
#include "store/tar_delta.h"
#include "store/tar_reader.h"

namespace wherry::store {

namespace {

constexpr int kLevel = 19;
constexpr int kWindowLog = 23;                           // the most that devices accept: 8 MiB
constexpr size_t kDataBytes = size_t{1} << 20;           // of one kData
constexpr size_t kLeastCopy = 64;                        // shorter ones cost more than zeros to add
constexpr uint64_t kAlwaysSimilar = uint64_t{64} << 10;  // sizes below are similar to each other

std::string Normal(const LayerPath& path) {
  return path.parent.empty() ? path.base : Cat(path.parent, "/", path.base);
}

// "usr/lib/libz.so.1.2.3" -> "libz"
std::string Stem(std::string_view path) {
  auto parts = SplitLast(path, '/');
  std::string_view name = parts ? parts->tail : path;
  return std::string(name.substr(0, name.find('.', 1)));
}

Result<std::string> ReadContent(TarReader& reader) {
  std::string content;
  for (;;) {
    auto piece = TRY(reader.Data());
    if (piece.bytes.empty())
      return content;
    content.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
  }
}

// Operations, compressed.
class OpWriter {
 public:
  explicit OpWriter(DeltaSink sink) : sink_(std::move(sink)) {}
  ~OpWriter() { ZSTD_freeCCtx(context_); }
  OpWriter(const OpWriter&) = delete;
  OpWriter& operator=(const OpWriter&) = delete;

  Result<> Begin() {
    if constexpr (kWritesDeltas) {
      context_ = ZSTD_createCCtx();
      if (context_ == nullptr ||
          ZSTD_isError(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, kLevel)) != 0 ||
          ZSTD_isError(ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, kWindowLog)) != 0)
        return Fail(Errc::kNoSpace, "zstd: out of memory");
      compressed_.resize(ZSTD_CStreamOutSize());
    }
    return sink_(std::as_bytes(std::span(kTarDeltaMagic)));
  }

  Result<> Data(std::string_view bytes) {
    data_ += bytes;
    return data_.size() >= kDataBytes ? FlushData() : Result<>();
  }
  Result<> Open(const std::string& path) {
    TRY(FlushData());
    if (path == path_)
      return {};
    path_ = path;
    position_ = 0;
    return WriteOp(DeltaOp::kOpen, path.size(), path);
  }
  Result<> Copy(uint64_t from, uint64_t size) {
    TRY(Seek(from));
    position_ += size;
    return WriteOp(DeltaOp::kCopy, size, {});
  }
  Result<> AddData(uint64_t from, std::string_view difference) {
    TRY(Seek(from));
    position_ += difference.size();
    return WriteOp(DeltaOp::kAddData, difference.size(), difference);
  }
  Result<> End() {
    TRY(FlushData());
    return Compress({}, true);
  }

 private:
  Result<> FlushData() {
    if (data_.empty())
      return {};
    TRY(WriteOp(DeltaOp::kData, data_.size(), data_));
    data_.clear();
    return {};
  }
  Result<> Seek(uint64_t position) {
    TRY(FlushData());
    if (position == position_)
      return {};
    position_ = position;
    return WriteOp(DeltaOp::kSeek, position, {});
  }
  Result<> WriteOp(DeltaOp op, uint64_t size, std::string_view bytes) {
    std::string head(1, static_cast<char>(op));
    PutVar(head, size);
    TRY(Compress(head, false));
    return Compress(bytes, false);
  }
  Result<> Compress(std::string_view bytes, bool last) {
    if constexpr (kWritesDeltas) {
      ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
      size_t left = 0;
      do {
        ZSTD_outBuffer out{compressed_.data(), compressed_.size(), 0};
        left = ZSTD_compressStream2(context_, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left) != 0)
          return Fail(Errc::kInternal, Cat("zstd: ", ZSTD_getErrorName(left)));
        TRY(sink_(std::as_bytes(std::span(compressed_).first(out.pos))));
      } while (last ? left != 0 : in.pos < in.size);
    }
    return {};
  }

  DeltaSink sink_;
  ZSTD_CCtx* context_ = nullptr;
  std::vector<char> compressed_;
  std::string data_;  // of the next kData
  std::string path_;  // that is open
  uint64_t position_ = 0;
};

class DeltaMaker final : public TarReader::Observer {
 public:
  DeltaMaker(ByteSource& archive, const ArchiveFiles& old, DeltaSink sink)
      : old_(old), writer_(std::move(sink)), reader_(archive, this) {}

  Result<> Run() {
    TRY(writer_.Begin());
    TarEntry entry;
    while (TRY(reader_.Next(entry))) {
      if (entry.type == TarType::kRegular && entry.size > 0)
        TRY_CTX(QuoteName(entry.name), File(entry));
    }
    return writer_.End();
  }

  Result<> Raw(std::span<const std::byte> bytes) override {
    return writer_.Data({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

 private:
  Result<> File(const TarEntry& entry) {
    if (entry.sparse || entry.size > kMaxDiffBytes) {
      for (;;) {
        auto piece = TRY(reader_.Data());
        if (piece.bytes.empty())
          return {};
        TRY(Raw(piece.bytes));
      }
    }
    std::string content = TRY(ReadContent(reader_));
    if (const auto* same = old_.FindSame(Digest::Of(content), content.size())) {
      TRY(writer_.Open(same->first));
      return writer_.Copy(0, content.size());
    }
    auto path = ParseLayerPath(entry.name, TarType::kRegular);
    const auto* similar = path ? old_.FindSimilar(Normal(*path), content.size()) : nullptr;
    if (similar == nullptr || similar->second.size > kMaxDiffBytes)
      return writer_.Data(content);
    return Changed(similar->first, TRY(old_.Content(similar->second)), content);
  }

  Result<> Changed(const std::string& path, std::string_view from, std::string_view to) {
    size_t at = 0;
    for (const DiffPiece& piece : DiffBytes(from, to)) {
      if (piece.match > 0) {
        TRY(writer_.Open(path));
        TRY(Stretch(from.substr(piece.old_at, piece.match), to.substr(at, piece.match),
                    piece.old_at));
      }
      TRY(writer_.Data(to.substr(at + piece.match, piece.fresh)));
      at += piece.match + piece.fresh;
    }
    return {};
  }

  // Long exact parts are copied, the others added to.
  Result<> Stretch(std::string_view from, std::string_view to, uint64_t old_at) {
    std::string difference;
    size_t begin = 0;  // of what is in `difference`
    for (size_t at = 0; at < to.size();) {
      auto end = std::mismatch(to.begin() + static_cast<ptrdiff_t>(at), to.end(),
                               from.begin() + static_cast<ptrdiff_t>(at));
      auto equal = static_cast<size_t>(end.first - to.begin()) - at;
      if (equal >= kLeastCopy) {
        if (!difference.empty())
          TRY(writer_.AddData(old_at + begin, difference));
        difference.clear();
        TRY(writer_.Copy(old_at + at, equal));
        at += equal;
        begin = at;
        continue;
      }
      difference.append(equal, '\0');
      at += equal;
      if (at < to.size()) {
        difference.push_back(
            static_cast<char>(static_cast<uint8_t>(to[at]) - static_cast<uint8_t>(from[at])));
        ++at;
      }
    }
    return difference.empty() ? Result<>() : writer_.AddData(old_at + begin, difference);
  }

  const ArchiveFiles& old_;
  OpWriter writer_;
  TarReader reader_;
};

}  // namespace

Result<ArchiveFiles> ArchiveFiles::Read(ByteSource& archive, UniqueFd contents) {
  ArchiveFiles files(std::move(contents));
  TarReader reader(archive);
  TarEntry entry;
  std::set<std::string> seen;
  while (TRY(reader.Next(entry))) {
    auto path = ParseLayerPath(entry.name, entry.type);
    if (!path || path->mark != LayerMark::kNone)
      continue;
    std::string name = Normal(*path);
    if (!seen.insert(name).second)
      files.files_.erase(name);  // which of them stays is for others to decide
    else if (entry.type == TarType::kRegular && entry.size > 0 && !entry.sparse)
      TRY_CTX(QuoteName(name), files.Keep(name, reader));
  }
  for (auto names = files.by_content_.begin(); names != files.by_content_.end();) {
    names =
        files.files_.contains(names->second) ? std::next(names) : files.by_content_.erase(names);
  }
  for (const auto& [name, file] : files.files_)
    files.by_stem_.emplace(Stem(name), name);
  return files;
}

Result<> ArchiveFiles::Keep(const std::string& path, TarReader& reader) {
  Hasher hasher;
  File file{end_, 0};
  for (;;) {
    auto piece = TRY(reader.Data());
    if (piece.bytes.empty())
      break;
    TRY(DiskOps::Real().Write(contents_.get(), piece.bytes, end_));
    hasher.Update(piece.bytes);
    end_ += piece.bytes.size();
  }
  file.size = end_ - file.offset;
  files_.emplace(path, file);
  by_content_.emplace(hasher.Finish(), path);
  return {};
}

Result<LayerFile> ArchiveFiles::Open(std::string_view path) {
  auto found = files_.find(std::string(path));
  if (found == files_.end())
    return Fail(Errc::kNotFound, "the layer has no such file");
  return LayerFile(TRY(Content(found->second)));
}

const ArchiveFiles::Entry* ArchiveFiles::FindSame(const Digest& content, uint64_t size) const {
  auto name = by_content_.find(content);
  if (name == by_content_.end())
    return nullptr;
  const Entry& entry = *files_.find(name->second);
  return entry.second.size == size ? &entry : nullptr;
}

const ArchiveFiles::Entry* ArchiveFiles::FindSimilar(const std::string& path, uint64_t size) const {
  auto same = files_.find(path);
  if (same != files_.end())
    return &*same;
  const Entry* best = nullptr;
  auto distance = [size](const Entry& entry) {
    return std::max(entry.second.size, size) - std::min(entry.second.size, size);
  };
  auto [begin, end] = by_stem_.equal_range(Stem(path));
  for (auto name = begin; name != end; ++name) {
    const Entry& entry = *files_.find(name->second);
    uint64_t larger = std::max(entry.second.size, size);
    bool similar = larger < kAlwaysSimilar || larger / 10 < std::min(entry.second.size, size);
    if (similar && (best == nullptr || distance(entry) < distance(*best)))
      best = &entry;
  }
  return best;
}

Result<std::string> ArchiveFiles::Content(const File& file) const {
  std::string content(static_cast<size_t>(file.size), '\0');
  size_t have = 0;
  while (have < content.size()) {
    ssize_t count = pread(contents_.get(), content.data() + have, content.size() - have,
                          static_cast<off_t>(file.offset + have));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return FailSys("read", "the files of the old layer");
    have += static_cast<size_t>(count);
  }
  return content;
}

Result<> CanWriteDeltas() {
  if constexpr (kWritesDeltas)
    return {};
  return Fail(Errc::kUnsupported,
              "making deltas is not supported on this build; use the one for a build host "
              "(./dev build host)");
}

Result<> WriteTarDelta(ByteSource& archive, const ArchiveFiles& old, DeltaSink sink) {
  TRY(CanWriteDeltas());
  if constexpr (kWritesDeltas)
    return DeltaMaker(archive, old, std::move(sink)).Run();
  return {};
}

}  // namespace wherry::store
