#include "store/gzip_source.h"

#include "core/base/text.h"

namespace wherry::store {

namespace {

constexpr int kGzipOnly = MAX_WBITS + 16;
constexpr size_t kWindowBytes = size_t{1} << MAX_WBITS;
constexpr size_t kTrailerBytes = 8;  // CRC-32 and length
// Of z_stream.data_type, when inflate stops at the end of a block.
constexpr int kUnusedBits = 7;
constexpr int kLastBlock = 64;
constexpr int kBlockEnd = 128;

std::unexpected<Error> NoMemory() {
  return Fail(Errc::kNoSpace, "gzip: out of memory");
}

std::unexpected<Error> TooShort() {
  return Fail(Errc::kCorrupt, "gzip: the compressed data ends too early");
}

}  // namespace

Result<> GzipSource::Init() {
  if (inflateInit2(&stream_, kGzipOnly) != Z_OK)
    return NoMemory();
  inflateValidate(&stream_, sum_ == GzipSum::kCheck ? 1 : 0);
  return {};
}

Result<> GzipSource::InitAt(const ResumePoint& point) {
  if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK)
    return NoMemory();
  bool taken = point.bits < 8 && point.window.size() <= kWindowBytes &&
               inflatePrime(&stream_, point.bits, point.bits_value) == Z_OK &&
               inflateSetDictionary(&stream_, reinterpret_cast<const Bytef*>(point.window.data()),
                                    static_cast<uInt>(point.window.size())) == Z_OK;
  if (!taken)
    return Fail(Errc::kCorrupt, "gzip: the saved state is not one");
  raw_ = true;
  between_members_ = false;
  members_ = 1;
  guard_.Begin(point.output);
  return {};
}

Result<size_t> GzipSource::Read(std::span<std::byte> out) {
  while (!ended_) {
    if (between_members_ && !TRY(NextMember()))
      break;
    size_t produced = TRY(Inflate(out));
    if (produced > 0)
      TRY(guard_.Count(produced, input_.consumed()));
    if (point_) {
      point_->output = guard_.total();
      points_->Take(*std::exchange(point_, std::nullopt));
    }
    if (produced > 0)
      return produced;
  }
  return 0;
}

// False at the end of the stream: of the input, or of the zero bytes that pad it.
Result<bool> GzipSource::NextMember() {
  if (raw_)
    TRY(EndRawMember());
  TRY(input_.Ensure(1));
  if (input_.bytes().empty()) {
    ended_ = true;
    return false;
  }
  if (members_ > 0 && input_.bytes()[0] == std::byte{0}) {
    TRY(SkipPadding());
    ended_ = true;
    return false;
  }
  ++members_;
  between_members_ = false;
  inflateReset(&stream_);
  return true;
}

Result<> GzipSource::EndRawMember() {
  TRY(input_.Ensure(kTrailerBytes));
  if (input_.bytes().size() < kTrailerBytes)
    return TooShort();
  input_.Consume(kTrailerBytes);
  inflateReset2(&stream_, kGzipOnly);
  inflateValidate(&stream_, sum_ == GzipSum::kCheck ? 1 : 0);
  raw_ = false;
  return {};
}

Result<> GzipSource::SkipPadding() {
  do {
    for (std::byte byte : input_.bytes()) {
      if (byte != std::byte{0})
        return Fail(Errc::kCorrupt, "gzip: something else follows the compressed data");
    }
    input_.Consume(input_.bytes().size());
  } while (TRY(input_.Fill()));
  return {};
}

Result<size_t> GzipSource::Inflate(std::span<std::byte> out) {
  TRY(input_.Ensure(1));
  auto in = input_.bytes();
  if (in.empty())
    return TooShort();
  // zlib's interface is not const-correct; it does not write to its input.
  stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream_.avail_in = static_cast<uInt>(in.size());
  stream_.next_out = reinterpret_cast<Bytef*>(out.data());
  stream_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), 1 << 30));
  uInt room = stream_.avail_out;
  int code = inflate(&stream_, points_ != nullptr ? Z_BLOCK : Z_NO_FLUSH);
  size_t used = in.size() - stream_.avail_in;
  input_.Consume(used);
  if (code == Z_STREAM_END) {
    between_members_ = true;
  } else if (code != Z_OK && code != Z_BUF_ERROR) {
    return DataError();
  } else if (code == Z_OK && used > 0 && points_ != nullptr) {
    OfferPoint(static_cast<uint8_t>(in[used - 1]));
  }
  return room - stream_.avail_out;
}

// `last`: the last byte that was taken from the input.
void GzipSource::OfferPoint(uint8_t last) {
  bool between_blocks =
      (stream_.data_type & kBlockEnd) != 0 && (stream_.data_type & kLastBlock) == 0;
  if (!between_blocks || !points_->Wants(input_.consumed()))
    return;
  ResumePoint& point = point_.emplace();
  point.compression = Compression::kGzip;
  point.input = input_.consumed();
  point.bits = static_cast<uint8_t>(stream_.data_type & kUnusedBits);
  point.bits_value = static_cast<uint8_t>(point.bits == 0 ? 0 : last >> (8 - point.bits));
  point.window.resize(kWindowBytes);
  uInt length = 0;
  inflateGetDictionary(&stream_, reinterpret_cast<Bytef*>(point.window.data()), &length);
  point.window.resize(length);
}

std::unexpected<Error> GzipSource::DataError() const {
  if (members_ > 1 && stream_.total_out == 0)
    return Fail(Errc::kCorrupt, "gzip: something else follows the compressed data");
  return Fail(Errc::kCorrupt,
              Cat("gzip: the compressed data is damaged", stream_.msg != nullptr ? ": " : "",
                  stream_.msg != nullptr ? stream_.msg : ""));
}

}  // namespace wherry::store
