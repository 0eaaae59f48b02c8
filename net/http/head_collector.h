// Collects the header fields that llhttp hands over in pieces, up to a limit. Shared by server and
// client.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http/header.h"

namespace wherry::http {

class HeadCollector {
 public:
  explicit HeadCollector(size_t limit) : limit_(limit) {}

  // Each returns false once the head is larger than the limit.
  bool AddName(std::string_view piece) {
    if (!in_name_) {
      headers_.emplace_back();
      in_name_ = true;
    }
    headers_.back().name += piece;
    return Count(piece.size());
  }
  bool AddValue(std::string_view piece) {
    in_name_ = false;
    if (!headers_.empty()) {
      headers_.back().value += piece;
    }
    return Count(piece.size());
  }
  // Bytes of the start line.
  bool Count(size_t bytes) {
    size_ += bytes;
    // Each field also costs memory of its own, whatever its length.
    return size_ + headers_.size() * sizeof(Header) <= limit_;
  }

  // The fields so far; ready for the next message afterwards.
  std::vector<Header> Take() {
    size_ = 0;
    in_name_ = false;
    return std::exchange(headers_, {});
  }

 private:
  size_t limit_;
  size_t size_ = 0;
  bool in_name_ = false;
  std::vector<Header> headers_;
};

}  // namespace wherry::http
