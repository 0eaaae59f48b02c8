#include "store/range_reader.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace wherry::store {

namespace {

// A request and its answer's head cost about this much themselves.
constexpr uint64_t kFreeGap = uint64_t{1} << 10;
// What a device of ten megabits and a few dozen milliseconds to its registry reads meanwhile.
constexpr uint64_t kMaxGap = uint64_t{64} << 10;
// Of what is wanted, as gaps.
constexpr uint64_t kWasteShare = 10;

}  // namespace

std::vector<ByteRange> Coalesce(std::span<const ByteRange> wanted) {
  uint64_t total = 0;
  std::vector<size_t> candidates;  // gaps, by the range before
  for (size_t i = 0; i < wanted.size(); ++i) {
    total += wanted[i].end - wanted[i].begin;
    if (i + 1 < wanted.size() && wanted[i + 1].begin - wanted[i].end < kMaxGap)
      candidates.push_back(i);
  }
  auto gap = [&](size_t i) { return wanted[i + 1].begin - wanted[i].end; };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](size_t a, size_t b) { return gap(a) < gap(b); });
  std::vector<bool> filled(wanted.size());
  uint64_t waste = 0;
  for (size_t i : candidates) {
    if (gap(i) >= kFreeGap && waste + gap(i) > total / kWasteShare)
      break;
    waste += gap(i);
    filled[i] = true;
  }
  std::vector<ByteRange> requests;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i > 0 && filled[i - 1])
      requests.back().end = wanted[i].end;
    else
      requests.push_back(wanted[i]);
  }
  return requests;
}

Result<> RangeReader::Open(ByteRange request) {
  stream_.reset();
  stream_ = TRY(ranges_.Open(request.begin, request.end - request.begin));
  position_ = request.begin;
  stream_end_ = request.end;
  return {};
}

Result<> RangeReader::Seek(ByteRange range) {
  range_end_ = range.end;
  if (stream_ != nullptr && position_ <= range.begin && range.end <= stream_end_)
    return SkipTo(range.begin);
  auto after = std::upper_bound(
      requests_.begin(), requests_.end(), range.begin,
      [](uint64_t begin, const ByteRange& request) { return begin < request.begin; });
  bool begins = after != requests_.begin() && std::prev(after)->begin == range.begin &&
                range.end <= std::prev(after)->end;
  // In the middle of a request only when its content is wanted in another order.
  return Open(begins ? *std::prev(after) : range);
}

Result<> RangeReader::SkipTo(uint64_t position) {
  std::array<std::byte, 4096> scratch;
  while (position_ < position) {
    size_t count = TRY(stream_->Read(std::span(scratch).first(
        static_cast<size_t>(std::min<uint64_t>(scratch.size(), position - position_)))));
    TRY(Advance(count));
  }
  return {};
}

Result<> RangeReader::Advance(size_t count) {
  if (count == 0)
    return Fail(Errc::kCorrupt, "a part of the blob is shorter than it was asked for");
  position_ += count;
  if (position_ < stream_end_)
    return {};
  std::array<std::byte, 1> scratch;
  if (TRY(stream_->Read(scratch)) != 0)
    return Fail(Errc::kCorrupt, "a part of the blob is longer than it was asked for");
  stream_.reset();
  return {};
}

Result<size_t> RangeReader::Read(std::span<std::byte> out) {
  if (stream_ == nullptr || position_ >= range_end_)
    return 0;
  auto wanted = static_cast<size_t>(std::min<uint64_t>(out.size(), range_end_ - position_));
  size_t count = TRY(stream_->Read(out.first(wanted)));
  TRY(Advance(count));
  return count;
}

}  // namespace wherry::store
