// Many short texts in memory, in blocks: growing neither copies what is there nor takes twice its
// space, and a view of a text stays valid.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wherry::store {

class TextBlocks {
 public:
  // Where the text is from now on. REQUIRES: all texts together are below 2 GiB.
  uint32_t Add(std::string_view text) {
    if (blocks_.empty() || blocks_.back().size() + text.size() > kBlock) {
      blocks_.emplace_back();
      blocks_.back().reserve(std::max(kBlock, text.size()));
    }
    std::string& block = blocks_.back();
    auto at = static_cast<uint32_t>((blocks_.size() - 1) << kOffsetBits | block.size());
    block += text;
    size_ += text.size();
    return at;
  }

  // From there on, to an end that is not before that of the text.
  std::string_view From(uint32_t at) const {
    return std::string_view(blocks_[at >> kOffsetBits]).substr(at & (kBlock - 1));
  }

  uint64_t size() const { return size_; }

 private:
  static constexpr unsigned kOffsetBits = 16;
  static constexpr size_t kBlock = size_t{1} << kOffsetBits;

  std::vector<std::string> blocks_;
  uint64_t size_ = 0;
};

}  // namespace wherry::store
