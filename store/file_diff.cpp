#include "store/file_diff.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

namespace wherry::store {

namespace {

constexpr size_t kKey = 16;      // bytes that a stretch is found by
constexpr size_t kLeast = 24;    // exact bytes that begin a new stretch
constexpr size_t kBetterBy = 8;  // of them, those the current stretch does not have
constexpr size_t kMaxEntries = size_t{1} << 24;

// Where the old file has a sequence of kKey bytes; the first place of those that collide.
class Places {
 public:
  explicit Places(std::string_view bytes) : bytes_(bytes) {
    size_t step = bytes.size() / kMaxEntries + 1;
    size_t entries = std::bit_ceil(bytes.size() / step + 1);
    shift_ = 64 - std::countr_zero(std::max<size_t>(entries, 2));
    table_.assign(std::max<size_t>(entries, 2), 0);
    for (size_t at = 0; at + kKey <= bytes.size(); at += step) {
      uint32_t& slot = table_[Hash(bytes.data() + at)];
      if (slot == 0)
        slot = static_cast<uint32_t>(at) + 1;
    }
  }

  // REQUIRES: kKey bytes at `key`. The place has to be compared; as many bytes as there are when
  // nothing is known.
  size_t Find(const char* key) const {
    uint32_t slot = table_[Hash(key)];
    return slot == 0 ? bytes_.size() : slot - 1;
  }

 private:
  size_t Hash(const char* key) const {
    uint64_t low;
    uint64_t high;
    memcpy(&low, key, sizeof low);
    memcpy(&high, key + sizeof low, sizeof high);
    uint64_t mixed = (low ^ std::rotl(high, 29)) * 0x9e3779b97f4a7c15;
    return static_cast<size_t>((mixed ^ high * 0xc2b2ae3d27d4eb4f) >> shift_);
  }

  std::string_view bytes_;
  std::vector<uint32_t> table_;  // place + 1
  int shift_ = 0;
};

class Differ {
 public:
  Differ(std::string_view from, std::string_view to) : from_(from), to_(to), places_(from) {}

  std::vector<DiffPiece> Run() {
    size_t at = 0;
    while (at + kKey <= to_.size()) {
      size_t run = EqualFrom(at, at + shift_);
      if (run >= kKey) {
        at += run;
        continue;
      }
      size_t place = places_.Find(to_.data() + at);
      size_t length = EqualFrom(at, place);
      if (length < kLeast || length < Agreeing(at, length) + kBetterBy) {
        ++at;
        continue;
      }
      EndStretch(at, place - at);
      at += length;
    }
    EndStretch(to_.size(), std::nullopt);
    return std::move(pieces_);
  }

 private:
  // Positions in the old file are those in the new one plus a shift, modulo 2^N.
  bool Same(size_t at, size_t shift) const {
    size_t place = at + shift;
    return place < from_.size() && from_[place] == to_[at];
  }

  size_t EqualFrom(size_t at, size_t place) const {
    if (place >= from_.size())
      return 0;
    size_t most = std::min(to_.size() - at, from_.size() - place);
    auto end = std::mismatch(to_.begin() + static_cast<ptrdiff_t>(at),
                             to_.begin() + static_cast<ptrdiff_t>(at + most),
                             from_.begin() + static_cast<ptrdiff_t>(place));
    return static_cast<size_t>(end.first - to_.begin()) - at;
  }

  size_t Agreeing(size_t at, size_t length) const {
    size_t count = 0;
    for (size_t i = at; i < at + length; ++i)
      count += Same(i, shift_) ? 1 : 0;
    return count;
  }

  // How far it pays to go on: where the most bytes agree in excess of those that do not.
  size_t Forward(size_t end) const {
    int64_t balance = 0;
    int64_t best = 0;
    size_t length = 0;
    for (size_t i = begin_; i < end && i + shift_ < from_.size(); ++i) {
      balance += Same(i, shift_) ? 1 : -1;
      if (balance > best) {
        best = balance;
        length = i + 1 - begin_;
      }
    }
    return length;
  }

  size_t Backward(size_t end, size_t shift) const {
    int64_t balance = 0;
    int64_t best = 0;
    size_t length = 0;
    for (size_t i = end; i > begin_ && i + shift > 0 && i - 1 + shift < from_.size(); --i) {
      balance += Same(i - 1, shift) ? 1 : -1;
      if (balance > best) {
        best = balance;
        length = end - (i - 1);
      }
    }
    return length;
  }

  // Where to divide what both stretches claim.
  size_t Divide(size_t begin, size_t end, size_t next_shift) const {
    int64_t balance = 0;
    int64_t best = 0;
    size_t divide = begin;
    for (size_t i = begin; i < end; ++i) {
      balance += (Same(i, shift_) ? 1 : 0) - (Same(i, next_shift) ? 1 : 0);
      if (balance > best) {
        best = balance;
        divide = i + 1;
      }
    }
    return divide;
  }

  // The current stretch, which began at begin_, gives way to one that has exact bytes at `end`.
  void EndStretch(size_t end, std::optional<size_t> next_shift) {
    size_t mine = begin_ + Forward(end);
    size_t next = end - (next_shift ? Backward(end, *next_shift) : 0);
    if (mine > next)
      mine = next = Divide(next, mine, *next_shift);
    pieces_.push_back({begin_ + shift_, mine - begin_, next - mine});
    begin_ = next;
    shift_ = next_shift.value_or(0);
  }

  std::string_view from_;
  std::string_view to_;
  Places places_;
  std::vector<DiffPiece> pieces_;
  size_t begin_ = 0;  // of the current stretch
  size_t shift_ = 0;  // of the current stretch
};

}  // namespace

std::vector<DiffPiece> DiffBytes(std::string_view from, std::string_view to) {
  return Differ(from, to).Run();
}

}  // namespace wherry::store
